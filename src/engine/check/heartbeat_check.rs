//! The check behind the kind `heartbeat`: it waits for heartbeats, and fails if none arrives for a
//! while.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Reason, Secret};

/// Time since the last heartbeat.
pub(crate) static AGE: Measurement =
    Measurement { name: "heartbeat_age_seconds", help: "Time since the last heartbeat." };

/// A check that receives heartbeats, for example from a nightly job.
///
/// A heartbeat is a call of [`beat`](Self::beat), or `POST /heartbeat/{check}` with its token. A run
/// fails with [`Reason::MissedHeartbeat`] when the last heartbeat is older than the grace. Before the
/// first one it is unknown until the grace has passed since the first run, so that a restart of this
/// process raises no alarm. A heartbeat that ends a silence triggers a run at once.
///
/// Clones share the same state.
///
/// ```no_run
/// use std::time::Duration;
/// use vitalsign::{Health, checks, every};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = checks::heartbeat(Duration::from_secs(60), "token");
/// let heard = queue.clone();
/// let health = Health::builder("orders")
///     .check("queue", every(Duration::from_secs(5)).gates([]).check(queue))
///     .build()?;
/// heard.beat();
/// # let _ = health;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Heartbeat {
    inner: Arc<Inner>,
}

struct Inner {
    grace: Duration,
    token: Secret,
    beats: Mutex<Beats>,
    /// Notified of a heartbeat that ends a silence.
    ended_silence: Notify,
}

#[derive(Debug, Clone, Default)]
struct Beats {
    last: Option<Instant>,
    /// The text of the last one.
    message: Option<Arc<str>>,
    /// When the first run was.
    since: Option<Instant>,
    /// Whether the last run found the last heartbeat too old, or none.
    silent: bool,
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("grace", &self.inner.grace).finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// A check that fails after a silence longer than `grace`; `token` is required to send it
    /// heartbeats over HTTP.
    #[must_use]
    pub fn new(grace: Duration, token: &str) -> Self {
        let inner = Inner {
            grace,
            token: Secret::new(token),
            beats: Mutex::default(),
            ended_silence: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Records a heartbeat: all is well.
    pub fn beat(&self) {
        self.beat_with("");
    }

    /// Records that all is well, with a text for people to read.
    pub(crate) fn beat_with(&self, message: &str) {
        let message = message.trim();
        let mut beats = self.beats();
        beats.last = Some(Instant::now());
        beats.message = (!message.is_empty()).then(|| message.into());
        // Only the end of a silence triggers a run: more heartbeats must not make more runs.
        if std::mem::take(&mut beats.silent) {
            self.inner.ended_silence.notify_one();
        }
    }

    /// Whether `token` is the right one.
    pub(crate) fn accepts(&self, token: &[u8]) -> bool {
        self.inner.token.is(token)
    }

    /// Waits for a heartbeat that ends a silence.
    pub(crate) async fn ended_silence(&self) {
        self.inner.ended_silence.notified().await;
    }

    /// Takes over the heartbeats of `old`, which this check replaces.
    pub(crate) fn succeed(&self, old: &Self) {
        if Arc::ptr_eq(&self.inner, &old.inner) {
            return;
        }
        let Beats { last, since, message, .. } = old.beats().clone();
        let mut beats = self.beats();
        if last > beats.last {
            (beats.last, beats.message) = (last, message);
        }
        beats.since = since;
    }

    /// Locks the heartbeats; no code that holds the lock can panic.
    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.inner.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Check for Heartbeat {
    fn kind(&self) -> &'static str {
        "heartbeat"
    }

    fn heartbeat(&self) -> Option<&Heartbeat> {
        Some(self)
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let now = Instant::now();
        let mut beats = self.beats();
        let since = *beats.since.get_or_insert(now);
        let age = beats.last.map(|last| now.saturating_duration_since(last));
        if let Some(age) = age {
            cx.measure(&AGE, age.as_secs_f64());
        }
        let grace = self.inner.grace;
        beats.silent = age.is_none_or(|age| age > grace);
        if !beats.silent {
            return Ok(Detail::noted(beats.message.as_deref().map(str::to_owned)));
        }
        let shown = humantime::format_duration(grace);
        let waited = age.unwrap_or_else(|| now.saturating_duration_since(since));
        if waited <= grace {
            let text = format!("no heartbeat has come yet, and grace = {shown} is not over");
            return Err(Failure::new(Reason::LocalResource, text));
        }
        // To the second: nobody reads the nanoseconds of a message.
        let waited = humantime::format_duration(Duration::from_secs(waited.as_secs()));
        let text = format!("no heartbeat for {waited}, longer than grace = {shown}");
        Err(Failure::new(Reason::MissedHeartbeat, text))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const GRACE: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    async fn reason(heartbeat: &Heartbeat) -> Option<Reason> {
        let cx = Context::new(Instant::now() + SECOND, None);
        heartbeat.run(&cx).await.err().map(|failure| failure.reason())
    }

    fn is_called(heartbeat: &Heartbeat) -> bool {
        use futures_util::FutureExt;
        heartbeat.ended_silence().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_first_beat_it_is_unknown_for_the_grace() {
        let heartbeat = Heartbeat::new(GRACE, "t");
        advance(2 * GRACE).await;
        assert_eq!(reason(&heartbeat).await, Some(Reason::LocalResource), "its first run");
        advance(GRACE).await;
        assert_eq!(reason(&heartbeat).await, Some(Reason::LocalResource));
        advance(SECOND).await;
        assert_eq!(reason(&heartbeat).await, Some(Reason::MissedHeartbeat));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_longer_than_the_grace_is_missed() {
        let heartbeat = Heartbeat::new(GRACE, "t");
        heartbeat.beat();
        assert_eq!(reason(&heartbeat).await, None);
        advance(GRACE).await;
        assert_eq!(reason(&heartbeat).await, None);
        advance(SECOND).await;
        let cx = Context::new(Instant::now() + SECOND, None);
        let failure = heartbeat.run(&cx).await.expect_err("it is missed");
        assert_eq!(failure.message(), "no heartbeat for 1m 1s, longer than grace = 1m");
        assert_eq!(cx.take_observed().measurements, [(&AGE, 61.0)]);
        heartbeat.beat();
        assert_eq!(reason(&heartbeat).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_beat_that_ends_a_silence_calls_for_a_run() {
        let heartbeat = Heartbeat::new(GRACE, "t");
        heartbeat.beat();
        reason(&heartbeat).await;
        heartbeat.beat();
        assert!(!is_called(&heartbeat));
        advance(GRACE + SECOND).await;
        reason(&heartbeat).await;
        assert!(!is_called(&heartbeat));
        heartbeat.beat();
        heartbeat.beat();
        assert!(is_called(&heartbeat));
        assert!(!is_called(&heartbeat), "one run is enough");
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_has_heard_what_its_predecessor_has() {
        let (old, new) = (Heartbeat::new(GRACE, "old"), Heartbeat::new(GRACE / 2, "new"));
        old.beat();
        new.succeed(&old);
        new.succeed(&new.clone());
        assert_eq!(reason(&new).await, None);
        assert!(new.accepts(b"new") && !new.accepts(b"old") && !new.accepts(b""));
        assert!(!format!("{new:?}").contains("token"));
    }
}
