//! The check behind the kind `heartbeat`: it waits for heartbeats instead of asking.
//!
//! # What it fails for
//!
//! A silence longer than the grace, a scheduled run of which nothing was heard, a run that started and
//! did not end in time, and a failure that was reported. The first three count like the failed runs
//! of any check. A reported failure counts at once: the job has seen it, and would not report it
//! again for the threshold's sake.
//!
//! # How it is kept
//!
//! What was heard outlives the process where a history keeps it: [`Heartbeat::keep_with`] is called
//! before the first run, and gives back what was kept.

mod heard;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use self::heard::{Expectation, Heard, Moment, Verdict};
use super::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Reason, Secret};

pub(crate) use heard::{Schedule, Signal};

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
    expected: Expectation,
    token: Secret,
    heard: Mutex<Heard>,
    /// Notified of a heartbeat that changes what is shown.
    news: Notify,
    keep: OnceLock<Keep>,
}

/// Keeps what was heard.
type Keep = Box<dyn Fn(&str) + Send + Sync>;

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat")
            .field("grace", &self.inner.expected.grace)
            .finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// A check that fails after a silence longer than `grace`; `token` is required to send it
    /// heartbeats over HTTP.
    #[must_use]
    pub fn new(grace: Duration, token: &str) -> Self {
        Self::expecting(grace, token, None, None)
    }

    /// A check of a job that has a schedule, or ends within `max_duration` of its start.
    pub(crate) fn expecting(
        grace: Duration,
        token: &str,
        schedule: Option<Box<dyn Schedule>>,
        max_duration: Option<Duration>,
    ) -> Self {
        let inner = Inner {
            expected: Expectation { grace, schedule, max_duration },
            token: Secret::new(token),
            heard: Mutex::default(),
            news: Notify::new(),
            keep: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Records a heartbeat: all is well.
    pub fn beat(&self) {
        self.hear(Signal::Success, "");
    }

    /// Records that the job has started; the next [`beat`](Self::beat) or [`fail`](Self::fail) ends
    /// the run, and the time between is its duration.
    pub fn start(&self) {
        self.hear(Signal::Start, "");
    }

    /// Records that the job has failed, with a text for people to read; the check is down at once,
    /// whatever its threshold, until the next [`beat`](Self::beat).
    pub fn fail(&self, message: &str) {
        self.hear(Signal::Fail, message);
    }

    /// Takes note of what a job reports, with a text for people to read.
    pub(crate) fn hear(&self, signal: Signal, message: &str) {
        let (news, state) = {
            let mut heard = self.heard();
            (heard.hear(signal, message, Moment::now()), heard.encode())
        };
        self.keep(&state);
        if news {
            self.inner.news.notify_one();
        }
    }

    /// Whether `token` is the right one.
    pub(crate) fn accepts(&self, token: &[u8]) -> bool {
        self.inner.token.is(token)
    }

    /// Waits for a heartbeat that changes what is shown.
    pub(crate) async fn news(&self) {
        self.inner.news.notified().await;
    }

    /// Takes over the heartbeats of `old`, which this check replaces.
    pub(crate) fn succeed(&self, old: &Self) {
        if Arc::ptr_eq(&self.inner, &old.inner) {
            return;
        }
        let before = old.heard().clone();
        self.heard().succeed(&before);
    }

    /// Takes over what was `kept`, of this process or one before it, and keeps with `keep` what is
    /// heard from now on.
    #[cfg(feature = "history")]
    pub(crate) fn keep_with<'k>(&self, kept: impl IntoIterator<Item = &'k str>, keep: Keep) {
        let state = {
            let mut heard = self.heard();
            for kept in kept.into_iter().filter_map(|text| Heard::decode(text, Moment::now())) {
                heard.succeed(&kept);
            }
            heard.encode()
        };
        // A check that two services share is kept by the first of them.
        if self.inner.keep.set(keep).is_err() {
            self.keep(&state);
        }
    }

    fn keep(&self, state: &str) {
        if let Some(keep) = self.inner.keep.get() {
            keep(state);
        }
    }

    /// Locks what was heard; no code that holds the lock can panic.
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner)
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
        let now = Moment::now();
        let (first, verdict, age, duration) = {
            let mut heard = self.heard();
            let first = heard.asked(now).then(|| heard.encode());
            (first, heard.judge(&self.inner.expected, now), heard.age(now), heard.duration())
        };
        if let Some(state) = first {
            self.keep(&state);
        }
        if let Some(age) = age {
            cx.measure(&AGE, age.as_secs_f64());
        }
        if let (Some(duration), Verdict::Well(_) | Verdict::Failed(..)) = (duration, &verdict) {
            cx.took(duration);
        }
        match verdict {
            Verdict::Well(message) => Ok(Detail::noted(message)),
            Verdict::Waiting(text) => Err(Failure::new(Reason::LocalResource, text)),
            Verdict::Missed(text) => Err(Failure::new(Reason::MissedHeartbeat, text)),
            Verdict::Failed(reason, text) => {
                cx.decides_at_once();
                Err(Failure::new(reason, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::*;

    const GRACE: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    async fn reason(heartbeat: &Heartbeat) -> Option<Reason> {
        let cx = Context::new(Instant::now() + SECOND, None);
        heartbeat.run(&cx).await.err().map(|failure| failure.reason())
    }

    fn is_called(heartbeat: &Heartbeat) -> bool {
        use futures_util::FutureExt;
        heartbeat.news().now_or_never().is_some()
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
