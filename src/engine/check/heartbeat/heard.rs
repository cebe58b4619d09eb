//! What a heartbeat check has heard, and what that means at a given moment.
//!
//! Nothing here reads a clock. Silences are measured by the monotonic clock; the schedule needs the
//! wall clock, and so does a restart, which the monotonic clock does not outlive.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::model::Reason;

/// What a check expects.
pub(super) struct Expectation {
    /// Longest silence, or with a schedule the longest time after a run is due.
    pub(super) grace: Duration,
    pub(super) schedule: Option<Box<dyn Schedule>>,
    /// Longest time from a start to its end.
    pub(super) max_duration: Option<Duration>,
}

/// When a job runs.
pub(crate) trait Schedule: Send + Sync {
    /// The first run after `after`.
    fn next(&self, after: SystemTime) -> Option<SystemTime>;

    /// A time of a run for people, as clocks show it where the schedule is meant.
    fn shown(&self, at: SystemTime) -> String;
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    fn since(self, earlier: Self) -> Duration {
        self.instant.saturating_duration_since(earlier.instant)
    }

    fn millis(self) -> u64 {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment that `millis` since 1970 are, seen from `self`; a clock that was set
    /// back makes it now.
    #[cfg(any(test, feature = "history"))]
    fn at(self, millis: u64) -> Self {
        let wall = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
        let wall = wall.unwrap_or(self.wall);
        let age = self.wall.duration_since(wall).unwrap_or_default();
        Self { instant: self.instant.checked_sub(age).unwrap_or(self.instant), wall }
    }
}

/// What a job reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// All is well: the job has ended as it should, or lives.
    Success,
    /// It has started.
    Start,
    /// It has failed.
    Fail,
    /// It has ended with an exit code other than 0.
    Exit(u8),
    /// It says something, which changes nothing else.
    Log,
}

/// A failure that was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    exit: Option<u8>,
}

/// What was heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    success: Option<Moment>,
    /// The failure that no success followed yet.
    failed: Option<Failed>,
    /// The newest start that no end followed.
    started: Option<Moment>,
    /// The oldest start that no end followed: a job that starts again does not hide one that hangs.
    unfinished: Option<Moment>,
    /// From the start to the end of the run that ended last, if it said when it started.
    duration: Option<Duration>,
    message: Option<Arc<str>>,
    /// When the check first ran.
    since: Option<Moment>,
    /// Whether the last run found it failing, or heard nothing yet.
    silent: bool,
}

/// What is known at a moment.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// All is well, and this is what was said.
    Well(Option<String>),
    /// It is too early to know.
    Waiting(String),
    /// Something was not heard in time.
    Missed(String),
    /// A failure was reported, which needs no second one.
    Failed(Reason, String),
}

impl Heard {
    /// Takes note of `signal`; returns whether a run should show it at once.
    pub(super) fn hear(&mut self, signal: Signal, message: &str, now: Moment) -> bool {
        let message = message.trim();
        let said = (!message.is_empty()).then(|| message.into());
        match signal {
            Signal::Log => {
                self.message = said.or(self.message.take());
                return false;
            }
            Signal::Start => {
                self.started = Some(now);
                self.unfinished = self.unfinished.or(Some(now));
                self.message = said.or(self.message.take());
                return false;
            }
            Signal::Success => {
                self.success = Some(now);
                self.failed = None;
            }
            Signal::Fail => self.failed = Some(Failed { exit: None }),
            Signal::Exit(code) => self.failed = Some(Failed { exit: Some(code) }),
        }
        self.message = said;
        self.duration = self.started.take().map(|started| now.since(started));
        self.unfinished = None;
        // Beyond these, more heartbeats must not make more runs.
        std::mem::take(&mut self.silent) || self.failed.is_some() || self.duration.is_some()
    }

    /// Time since the last success.
    pub(super) fn age(&self, now: Moment) -> Option<Duration> {
        self.success.map(|success| now.since(success))
    }

    /// How long the run that ended last took, by its own start and end.
    pub(super) const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Takes note of a run of the check; returns whether it was the first.
    pub(super) fn asked(&mut self, now: Moment) -> bool {
        let first = self.since.is_none();
        self.since.get_or_insert(now);
        first
    }

    /// What is known `now`; what a run shows is remembered, so that a change is shown at once.
    pub(super) fn judge(&mut self, terms: &Expectation, now: Moment) -> Verdict {
        let verdict = self.verdict(terms, now);
        self.silent = !matches!(verdict, Verdict::Well(_));
        verdict
    }

    fn verdict(&self, terms: &Expectation, now: Moment) -> Verdict {
        if let Some(failed) = self.failed {
            return self.reported(failed);
        }
        let well = || Verdict::Well(self.message.as_deref().map(str::to_owned));
        // While a job runs, and may still run, it is not silent.
        if let Some((started, longest)) = self.unfinished.zip(terms.max_duration) {
            let running = now.since(started);
            if running <= longest {
                return well();
            }
            let (running, longest) = (seconds(running), lasting(longest));
            return Verdict::Missed(format!(
                "started {running} ago and has not ended, longer than max_duration = {longest}"
            ));
        }
        let missed = match &terms.schedule {
            Some(schedule) => self.missed_schedule(&**schedule, terms, now),
            None => self.missed_grace(terms, now),
        };
        missed.unwrap_or_else(well)
    }

    fn reported(&self, failed: Failed) -> Verdict {
        let message = self.message.as_deref();
        let Some(code) = failed.exit else {
            let text = message.unwrap_or("a failure was reported");
            return Verdict::Failed(Reason::Other, text.to_owned());
        };
        let text = match message {
            Some(message) => format!("exit code {code}: {message}"),
            None => format!("exit code {code}"),
        };
        Verdict::Failed(Reason::UnexpectedStatus, text)
    }

    fn missed_grace(&self, terms: &Expectation, now: Moment) -> Option<Verdict> {
        let shown = lasting(terms.grace);
        let since = self.success.or(self.since).unwrap_or(now);
        let waited = now.since(since);
        if waited > terms.grace {
            let waited = seconds(waited);
            let text = format!("no heartbeat for {waited}, longer than grace = {shown}");
            return Some(Verdict::Missed(text));
        }
        let text = || format!("no heartbeat has come yet, and grace = {shown} is not over");
        self.success.is_none().then(|| Verdict::Waiting(text()))
    }

    fn missed_schedule(
        &self,
        schedule: &dyn Schedule,
        terms: &Expectation,
        now: Moment,
    ) -> Option<Verdict> {
        let since = self.success.or(self.since).unwrap_or(now);
        let due = schedule.next(since.wall);
        let shown = due.map(|due| schedule.shown(due)).unwrap_or_default();
        let grace = lasting(terms.grace);
        let over = due.and_then(|due| due.checked_add(terms.grace));
        if over.is_some_and(|over| now.wall > over) {
            let text = format!("no heartbeat for the run of {shown}, and grace = {grace} is over");
            return Some(Verdict::Missed(text));
        }
        let text = || format!("no heartbeat has come yet; the first run is due at {shown}");
        self.success.is_none().then(|| Verdict::Waiting(text()))
    }

    /// Takes over what another check of the same name has heard, unless this one has heard more.
    pub(super) fn succeed(&mut self, old: &Self) {
        let newest = |heard: &Self| {
            let moments = [heard.success, heard.started, heard.unfinished];
            moments.into_iter().flatten().map(|moment| moment.instant).max()
        };
        let since = [self.since, old.since].into_iter().flatten().min_by_key(|m| m.instant);
        let nothing = newest(self).is_none() && self.failed.is_none();
        if nothing || newest(old) > newest(self) {
            let silent = self.silent;
            *self = Self { silent, ..old.clone() };
        }
        self.since = since;
    }

    /// As a text that outlives the process.
    pub(super) fn encode(&self) -> String {
        let millis = |moment: Option<Moment>| moment.map(Moment::millis);
        let stored = Stored {
            success: millis(self.success),
            failed: self.failed.is_some(),
            exit: self.failed.and_then(|failed| failed.exit),
            started: millis(self.started),
            unfinished: millis(self.unfinished),
            duration: self.duration.and_then(|took| u64::try_from(took.as_millis()).ok()),
            message: self.message.as_deref().map(str::to_owned),
            since: millis(self.since),
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads what [`encode`](Self::encode) wrote, in this process or another.
    #[cfg(any(test, feature = "history"))]
    pub(super) fn decode(text: &str, now: Moment) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let moment = |millis: Option<u64>| millis.map(|millis| now.at(millis));
        Some(Self {
            success: moment(stored.success),
            failed: stored.failed.then_some(Failed { exit: stored.exit }),
            started: moment(stored.started),
            unfinished: moment(stored.unfinished),
            duration: stored.duration.map(Duration::from_millis),
            message: stored.message.map(Into::into),
            since: moment(stored.since),
            silent: true,
        })
    }
}

fn lasting(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// To the second: nobody reads the nanoseconds of a message.
fn seconds(duration: Duration) -> String {
    lasting(Duration::from_secs(duration.as_secs()))
}

/// What is kept; times are milliseconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    success: Option<u64>,
    failed: bool,
    exit: Option<u8>,
    started: Option<u64>,
    unfinished: Option<u64>,
    duration: Option<u64>,
    message: Option<String>,
    since: Option<u64>,
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
