//! What should be firing: the newest word on every check, and the alerts that follow from it.
//!
//! In flow events of checks, each in constant time; out flow the alerts that fire now and those
//! that have ended lately. It is the state that is kept, not a queue of changes: whoever looks
//! late finds the newest, and its size follows the number of checks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::alert::{Cause, Labels};
use crate::model::{Calls, CheckInfo, Event, Outcome, Run, Status, Trace, Transition};

/// Every alert is held for this long, so that a check that comes straight back pages nobody.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Longest that an alert waits for the word of other checks, or of the check itself.
pub(super) const LONGEST_HOLD: Duration = Duration::from_mins(1);

/// How often an alert that waits for such a word is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Board {
    /// How long after its end an alert is remembered.
    memory: Duration,
    checks: HashMap<Arc<str>, Watched>,
    /// Those that are not up: all that could fire.
    troubled: BTreeSet<Arc<str>>,
    ended: HashMap<Labels, Ended>,
}

/// What is known of one check.
#[derive(Debug)]
struct Watched {
    info: Arc<CheckInfo>,
    status: Status,
    since: SystemTime,
    maintenance: bool,
    cause: Cause,
    /// The trace of the newest run, if it is kept.
    kept: Option<Trace>,
    /// Start of the newest good run.
    good: Option<Instant>,
    /// Start of the newest run whose outcome speaks for the status.
    confirmed: Option<Instant>,
    hold: Option<Hold>,
    /// Whether it was suppressed or maintained when last looked at.
    silenced: bool,
    firing: Option<Firing>,
}

/// Why an alert does not fire yet.
#[derive(Debug, Clone, Copy)]
struct Hold {
    since: Instant,
    not_before: Instant,
    until: Word,
}

/// Whose word an alert waits for.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// Every check that it depends on has answered well since: none of them is the cause.
    OfDependencies,
    /// The check itself has been asked since, with the same result: it did not recover along with
    /// what had silenced it.
    OfItself,
}

/// An alert that fires.
#[derive(Debug, Clone)]
pub(super) struct Firing {
    pub(super) labels: Labels,
    pub(super) starts_at: SystemTime,
}

#[derive(Debug)]
struct Ended {
    at: SystemTime,
    forget_at: Instant,
}

impl Hold {
    fn of_a_new_status(now: Instant) -> Self {
        Self { since: now, not_before: now + GRACE, until: Word::OfDependencies }
    }

    fn of_a_silence_that_ended(now: Instant) -> Self {
        Self { since: now, not_before: now + GRACE, until: Word::OfItself }
    }

    /// When it is to be looked at next, as long as the word has not come.
    fn look_again(self, now: Instant) -> Option<Instant> {
        let latest = self.not_before.max(self.since + LONGEST_HOLD);
        if now >= latest { None } else { Some((now + LOOK).max(self.not_before).min(latest)) }
    }
}

impl Watched {
    fn new(info: &Arc<CheckInfo>, since: SystemTime) -> Self {
        Self {
            info: Arc::clone(info),
            status: Status::Unknown,
            since,
            maintenance: false,
            cause: Cause::default(),
            kept: None,
            good: None,
            confirmed: None,
            hold: None,
            silenced: false,
            firing: None,
        }
    }
}

impl Board {
    pub(super) fn new(memory: Duration) -> Self {
        Self { memory, checks: HashMap::new(), troubled: BTreeSet::new(), ended: HashMap::new() }
    }

    /// Takes note of an event; `true` when it may change what fires.
    pub(super) fn record(&mut self, info: &Arc<CheckInfo>, event: Event<'_>) -> bool {
        let now = Instant::now();
        match event {
            Event::Run { run, status, trace_kept, maintenance } => {
                let kept = run.trace.filter(|_| trace_kept);
                let same = Arc::ptr_eq(&self.watched(info).info, info);
                // Rare: a reload changed the check.
                let changed = !same && self.adopt(info);
                let silenced = self.maintain(info, maintenance);
                self.run(info, run, status, kept, now) || changed || silenced
            }
            Event::Observed(calls) => {
                let same = Arc::ptr_eq(&self.watched(info).info, info);
                let changed = !same && self.adopt(info);
                let silenced = self.maintain(info, calls.maintenance());
                self.observed(info, calls);
                changed || silenced
            }
            Event::Transition(transition) => {
                self.transition(info, transition, now);
                true
            }
            Event::Maintenance(begins) => self.maintain(info, begins),
            Event::Removed => {
                self.end(&info.name, SystemTime::now());
                self.troubled.remove(&info.name);
                self.checks.remove(&info.name).is_some()
            }
            Event::Skipped(_) => false,
        }
    }

    fn watched(&mut self, info: &Arc<CheckInfo>) -> &mut Watched {
        let new = || Watched::new(info, SystemTime::now());
        self.checks.entry(Arc::clone(&info.name)).or_insert_with(new)
    }

    /// Follows a changed declaration; an alert whose labels it changes ends, for another to fire.
    fn adopt(&mut self, info: &Arc<CheckInfo>) -> bool {
        let watched = self.watched(info);
        watched.info = Arc::clone(info);
        let labels = Labels::of(info, watched.status);
        let changed = watched.firing.as_ref().is_some_and(|f| Some(&f.labels) != labels.as_ref());
        if changed {
            self.end(&info.name, SystemTime::now());
        }
        changed
    }

    fn maintain(&mut self, info: &Arc<CheckInfo>, maintenance: bool) -> bool {
        let watched = self.watched(info);
        std::mem::replace(&mut watched.maintenance, maintenance) != maintenance
    }

    fn run(
        &mut self,
        info: &Arc<CheckInfo>,
        run: &Run,
        status: Status,
        kept: Option<Trace>,
        now: Instant,
    ) -> bool {
        let watched = self.watched(info);
        watched.kept = kept;
        let started = now.checked_sub(run.duration).unwrap_or(now);
        if run.outcome.is_good() {
            watched.good = Some(started);
        }
        if run.outcome.status() == status && run.outcome != Outcome::Success {
            watched.confirmed = Some(started);
            watched.cause = Cause::new(run.reason, run.message.as_deref(), kept);
        }
        if status != Status::Unknown || self.troubled.contains(&info.name) {
            return false;
        }
        // It has never had a result. That deserves an alert once it would have gone stale.
        let watched = self.watched(info);
        let patience = info.interval.saturating_mul(3).saturating_add(info.timeout);
        let not_before = now.checked_add(patience).unwrap_or(now + LONGEST_HOLD);
        watched.since = run.at;
        watched.hold = Some(Hold { since: now, not_before, until: Word::OfItself });
        self.troubled.insert(Arc::clone(&info.name))
    }

    /// What the host observed leaves the status alone, but it may be the word that is waited for.
    fn observed(&mut self, info: &Arc<CheckInfo>, calls: &Calls) {
        let watched = self.watched(info);
        watched.good = watched.good.max(calls.last_good());
        let speaking = |(_, run): &(Instant, &Run)| run.outcome.status() == calls.status();
        if let Some((started, run)) = calls.last_other().filter(speaking) {
            watched.kept = run.trace;
            watched.confirmed = Some(started);
            watched.cause = Cause::new(run.reason, run.message.as_deref(), run.trace);
        }
    }

    fn transition(&mut self, info: &Arc<CheckInfo>, transition: &Transition, now: Instant) {
        self.end(&info.name, transition.at);
        let watched = self.watched(info);
        watched.status = transition.to;
        watched.since = transition.at;
        if transition.to == Status::Up {
            watched.hold = None;
            watched.silenced = false;
            self.troubled.remove(&info.name);
            return;
        }
        let trace = transition.trace.filter(|trace| watched.kept == Some(*trace));
        watched.cause = Cause::new(transition.reason, transition.message.as_deref(), trace);
        watched.hold = Some(Hold::of_a_new_status(now));
        self.troubled.insert(Arc::clone(&info.name));
    }

    /// Ends the alert of a check, if it has one.
    fn end(&mut self, name: &str, at: SystemTime) {
        let Some(watched) = self.checks.get_mut(name) else { return };
        if let Some(firing) = watched.firing.take() {
            let forget_at = Instant::now() + self.memory;
            self.ended.insert(firing.labels, Ended { at, forget_at });
        }
    }

    /// Decides what fires now, and tells when to look again if nothing happens.
    ///
    /// It looks at the checks that are not up, no other.
    pub(super) fn evaluate(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.ended.retain(|_, ended| now < ended.forget_at);
        let troubled = std::mem::take(&mut self.troubled);
        let look_again = troubled.iter().filter_map(|name| self.judge(name, now)).min();
        self.troubled = troubled;
        look_again
    }

    fn judge(&mut self, name: &Arc<str>, now: Instant) -> Option<Instant> {
        let watched = self.checks.get(name)?;
        let silenced = watched.maintenance || self.suppressed(&watched.info);
        if silenced {
            self.end(name, SystemTime::now());
            self.checks.get_mut(name)?.silenced = true;
            return None;
        }
        if watched.firing.is_some() {
            return None;
        }
        let mut hold = watched.hold;
        if watched.silenced {
            hold = Some(Hold::of_a_silence_that_ended(now));
        }
        let wait = hold.filter(|hold| now < hold.not_before || !self.word_came(watched, *hold));
        let look_again = wait.and_then(|hold| hold.look_again(now));
        let labels = Labels::of(&watched.info, watched.status)?;
        let watched = self.checks.get_mut(name)?;
        watched.silenced = false;
        watched.hold = hold;
        if look_again.is_none() {
            watched.hold = None;
            watched.firing = Some(Firing { labels: labels.clone(), starts_at: watched.since });
            self.ended.remove(&labels);
        }
        look_again
    }

    /// Whether a check that `info` depends on is down.
    fn suppressed(&self, info: &CheckInfo) -> bool {
        let down = |name| self.checks.get(name).is_some_and(|one| one.status == Status::Down);
        info.depends_on.iter().any(down)
    }

    fn word_came(&self, watched: &Watched, hold: Hold) -> bool {
        let since = |at: Option<Instant>| at.is_some_and(|at| at >= hold.since);
        match hold.until {
            Word::OfDependencies => {
                // One that is not there yet has not had its first run.
                let well = |name| self.checks.get(name).is_some_and(|one| since(one.good));
                watched.info.depends_on.iter().all(well)
            }
            Word::OfItself => since(watched.confirmed),
        }
    }

    /// The alerts that fire, as of the last evaluation, by the names of their checks.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Firing> {
        let watched = self.troubled.iter().filter_map(|name| self.checks.get(name));
        watched.filter_map(|watched| watched.firing.as_ref())
    }

    /// What is to be told of the check that an alert is for.
    pub(super) fn about(&self, check: &str) -> Option<(&CheckInfo, &Cause)> {
        self.checks.get(check).map(|watched| (&*watched.info, &watched.cause))
    }

    /// Whether the alert of these labels fires.
    pub(super) fn fires(&self, labels: &Labels) -> bool {
        let watched = self.checks.get(&labels.check);
        watched.and_then(|w| w.firing.as_ref()).is_some_and(|firing| firing.labels == *labels)
    }

    /// When the alert of these labels ended, if that is remembered.
    pub(super) fn ended(&self, labels: &Labels) -> Option<SystemTime> {
        self.ended.get(labels).map(|ended| ended.at)
    }
}
