//! The alert store: the newest state of every check, and the alerts that follow from it.
//!
//! Input: events of checks, each in constant time. Output: the alerts that fire now and those that
//! have ended recently. It keeps the state, not a queue of changes: a late reader finds the newest
//! state, and the size depends on the number of checks.
//!
//! # When an alert fires
//! A check that is not up gets an alert once its hold is over. The hold lasts for [`GRACE`], and
//! then until other checks confirm it ([`Confirmation`]), but no longer than [`LONGEST_HOLD`].
//!
//! # When it does not
//! A check in maintenance, or one that depends on a check that is down, is silenced: its alert
//! ends, and fires again only after a run that confirms the failure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::alert::{Explanation, Labels};
use crate::model::{Calls, CheckInfo, Event, Outcome, Run, Status, Trace, Transition};

/// Every alert is delayed by this time, so that a check that recovers at once pages nobody.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Longest that an alert waits for runs of other checks, or of the check itself.
pub(super) const LONGEST_HOLD: Duration = Duration::from_mins(1);

/// How often an alert that waits for such a run is evaluated.
const EVALUATION: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct AlertStore {
    /// How long after its end an alert is remembered.
    memory: Duration,
    checks: HashMap<Arc<str>, CheckState>,
    /// Those that are not up: all that could fire.
    troubled: BTreeSet<Arc<str>>,
    ended: HashMap<Labels, Ended>,
}

/// The state of one check.
#[derive(Debug)]
struct CheckState {
    info: Arc<CheckInfo>,
    status: Status,
    since: SystemTime,
    maintenance: bool,
    explanation: Explanation,
    /// The trace of the newest run, if it is kept.
    kept: Option<Trace>,
    /// Start of the newest good run.
    good: Option<Instant>,
    /// Start of the newest run whose outcome confirms the status.
    confirmed: Option<Instant>,
    hold: Option<Hold>,
    /// Whether it was suppressed or maintained at the last evaluation.
    silenced: bool,
    firing: Option<Firing>,
}

/// Why an alert does not fire yet.
#[derive(Debug, Clone, Copy)]
struct Hold {
    since: Instant,
    not_before: Instant,
    until: Confirmation,
}

/// The runs that an alert waits for.
#[derive(Debug, Clone, Copy)]
enum Confirmation {
    /// Every check that it depends on has answered well since: none of them is the cause.
    OfDependencies,
    /// The check itself has run since, with the same result: it did not recover along with what
    /// had silenced it.
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
        Self { since: now, not_before: now + GRACE, until: Confirmation::OfDependencies }
    }

    fn of_a_silence_that_ended(now: Instant) -> Self {
        Self { since: now, not_before: now + GRACE, until: Confirmation::OfItself }
    }

    /// When to evaluate it next, as long as no run has confirmed it.
    fn next_evaluation(self, now: Instant) -> Option<Instant> {
        let latest = self.not_before.max(self.since + LONGEST_HOLD);
        if now >= latest { None } else { Some((now + EVALUATION).max(self.not_before).min(latest)) }
    }
}

impl CheckState {
    fn new(info: &Arc<CheckInfo>, since: SystemTime) -> Self {
        Self {
            info: Arc::clone(info),
            status: Status::Unknown,
            since,
            maintenance: false,
            explanation: Explanation::default(),
            kept: None,
            good: None,
            confirmed: None,
            hold: None,
            silenced: false,
            firing: None,
        }
    }
}

impl AlertStore {
    pub(super) fn new(memory: Duration) -> Self {
        Self { memory, checks: HashMap::new(), troubled: BTreeSet::new(), ended: HashMap::new() }
    }

    /// Records an event; `true` when it may change what fires.
    pub(super) fn record(&mut self, info: &Arc<CheckInfo>, event: Event<'_>) -> bool {
        let now = Instant::now();
        match event {
            Event::Run { run, status, trace_kept, maintenance } => {
                let kept = run.trace.filter(|_| trace_kept);
                let same = Arc::ptr_eq(&self.state(info).info, info);
                // Rare: a reload changed the check.
                let changed = !same && self.adopt(info);
                let silenced = self.maintain(info, maintenance);
                self.run(info, run, status, kept, now) || changed || silenced
            }
            Event::Observed(calls) => {
                let same = Arc::ptr_eq(&self.state(info).info, info);
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

    fn state(&mut self, info: &Arc<CheckInfo>) -> &mut CheckState {
        let new = || CheckState::new(info, SystemTime::now());
        self.checks.entry(Arc::clone(&info.name)).or_insert_with(new)
    }

    /// Takes over a changed declaration; an alert whose labels it changes ends, for another to fire.
    fn adopt(&mut self, info: &Arc<CheckInfo>) -> bool {
        let state = self.state(info);
        state.info = Arc::clone(info);
        let labels = Labels::of(info, state.status);
        let changed = state.firing.as_ref().is_some_and(|f| Some(&f.labels) != labels.as_ref());
        if changed {
            self.end(&info.name, SystemTime::now());
        }
        changed
    }

    fn maintain(&mut self, info: &Arc<CheckInfo>, maintenance: bool) -> bool {
        let state = self.state(info);
        std::mem::replace(&mut state.maintenance, maintenance) != maintenance
    }

    fn run(
        &mut self,
        info: &Arc<CheckInfo>,
        run: &Run,
        status: Status,
        kept: Option<Trace>,
        now: Instant,
    ) -> bool {
        let state = self.state(info);
        state.kept = kept;
        let started = now.checked_sub(run.duration).unwrap_or(now);
        if run.outcome.is_good() {
            state.good = Some(started);
        }
        if run.outcome.status() == status && run.outcome != Outcome::Success {
            state.confirmed = Some(started);
            state.explanation = Explanation::new(run.reason, run.message.as_deref(), kept);
        }
        if status != Status::Unknown || self.troubled.contains(&info.name) {
            return false;
        }
        // It has never had a result. That deserves an alert once it would have gone stale.
        let state = self.state(info);
        let stale_after = info.interval.saturating_mul(3).saturating_add(info.timeout);
        let not_before = now.checked_add(stale_after).unwrap_or(now + LONGEST_HOLD);
        state.since = run.at;
        state.hold = Some(Hold { since: now, not_before, until: Confirmation::OfItself });
        self.troubled.insert(Arc::clone(&info.name))
    }

    /// What the host observed leaves the status alone, but it may confirm an alert that waits.
    fn observed(&mut self, info: &Arc<CheckInfo>, calls: &Calls) {
        let state = self.state(info);
        state.good = state.good.max(calls.last_good());
        let speaking = |(_, run): &(Instant, &Run)| run.outcome.status() == calls.status();
        if let Some((started, run)) = calls.last_other().filter(speaking) {
            state.kept = run.trace;
            state.confirmed = Some(started);
            state.explanation = Explanation::new(run.reason, run.message.as_deref(), run.trace);
        }
    }

    fn transition(&mut self, info: &Arc<CheckInfo>, transition: &Transition, now: Instant) {
        self.end(&info.name, transition.at);
        let state = self.state(info);
        state.status = transition.to;
        state.since = transition.since;
        if transition.to == Status::Up {
            state.hold = None;
            state.silenced = false;
            self.troubled.remove(&info.name);
            return;
        }
        let trace = transition.trace.filter(|trace| state.kept == Some(*trace));
        state.explanation =
            Explanation::new(transition.reason, transition.message.as_deref(), trace);
        state.hold = Some(Hold::of_a_new_status(now));
        self.troubled.insert(Arc::clone(&info.name));
    }

    /// Ends the alert of a check, if it has one.
    fn end(&mut self, name: &str, at: SystemTime) {
        let Some(state) = self.checks.get_mut(name) else { return };
        if let Some(firing) = state.firing.take() {
            let forget_at = Instant::now() + self.memory;
            self.ended.insert(firing.labels, Ended { at, forget_at });
        }
    }

    /// Decides what fires now; returns when to evaluate again if nothing happens.
    ///
    /// It evaluates only the checks that are not up.
    pub(super) fn evaluate(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.ended.retain(|_, ended| now < ended.forget_at);
        let troubled = std::mem::take(&mut self.troubled);
        let next = troubled.iter().filter_map(|name| self.evaluate_check(name, now)).min();
        self.troubled = troubled;
        next
    }

    fn evaluate_check(&mut self, name: &Arc<str>, now: Instant) -> Option<Instant> {
        let state = self.checks.get(name)?;
        let silenced = state.maintenance || self.suppressed(&state.info);
        if silenced {
            self.end(name, SystemTime::now());
            self.checks.get_mut(name)?.silenced = true;
            return None;
        }
        if state.firing.is_some() {
            return None;
        }
        let mut hold = state.hold;
        if state.silenced {
            hold = Some(Hold::of_a_silence_that_ended(now));
        }
        let wait = hold.filter(|hold| now < hold.not_before || !self.confirmed_by(state, *hold));
        let next = wait.and_then(|hold| hold.next_evaluation(now));
        let labels = Labels::of(&state.info, state.status)?;
        let state = self.checks.get_mut(name)?;
        state.silenced = false;
        state.hold = hold;
        if next.is_none() {
            state.hold = None;
            state.firing = Some(Firing { labels: labels.clone(), starts_at: state.since });
            self.ended.remove(&labels);
        }
        next
    }

    /// Whether a check that `info` depends on is down.
    fn suppressed(&self, info: &CheckInfo) -> bool {
        let down = |name| self.checks.get(name).is_some_and(|one| one.status == Status::Down);
        info.depends_on.iter().any(down)
    }

    fn confirmed_by(&self, state: &CheckState, hold: Hold) -> bool {
        let since = |at: Option<Instant>| at.is_some_and(|at| at >= hold.since);
        match hold.until {
            Confirmation::OfDependencies => {
                // One that is not there yet has not had its first run.
                let well = |name| self.checks.get(name).is_some_and(|one| since(one.good));
                state.info.depends_on.iter().all(well)
            }
            Confirmation::OfItself => since(state.confirmed),
        }
    }

    /// The alerts that fire, as of the last evaluation, by the names of their checks.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Firing> {
        let state = self.troubled.iter().filter_map(|name| self.checks.get(name));
        state.filter_map(|state| state.firing.as_ref())
    }

    /// The check that an alert is for, and what explains its status.
    pub(super) fn about(&self, check: &str) -> Option<(&CheckInfo, &Explanation)> {
        self.checks.get(check).map(|state| (&*state.info, &state.explanation))
    }

    /// Whether the alert of these labels fires.
    pub(super) fn fires(&self, labels: &Labels) -> bool {
        let state = self.checks.get(&labels.check);
        state.and_then(|w| w.firing.as_ref()).is_some_and(|firing| firing.labels == *labels)
    }

    /// When the alert of these labels ended, if that is remembered.
    pub(super) fn ended(&self, labels: &Labels) -> Option<SystemTime> {
        self.ended.get(labels).map(|ended| ended.at)
    }
}
