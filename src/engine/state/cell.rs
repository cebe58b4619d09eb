//! The cell of a check: its current state. Only `record.rs` and `observe.rs` write it, every reader
//! reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::counters::CheckCounters;
use super::failed_runs::{FailedRun, FailedRuns};
use super::service_counts::CheckContribution;
use super::status_tracker::StatusTracker;
use crate::model::{
    Calls, CheckInfo, Gate, Outcome, Reason, Run, SkipReason, Status, Trace, Transition,
};

/// The state of one check.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(super) tracker: StatusTracker,
    pub(super) since: SystemTime,
    /// Its status before the start of this process, and since when; kept until its first own
    /// status.
    pub(super) before: Option<(Status, SystemTime)>,
    /// Set when the check was removed or replaced; a run still in flight is then ignored.
    pub(super) retired: bool,
    /// Whether its gates count. A check that a reload added gates nothing until its first good run,
    /// or until `failure_threshold` failed runs in a row.
    pub(super) gating: bool,
    pub(crate) maintenance: bool,
    /// The last run of the check itself, not an observed call: calls have no phases and
    /// measurements.
    pub(crate) last_own_run: Option<Arc<Run>>,
    /// The last observed call, if it is newer than that run.
    pub(super) last_call: Option<Newest>,
    /// What the host has set, for a check that is not asked.
    pub(super) set: Option<Arc<Run>>,
    /// Time of the newest observed call, if it was good.
    pub(super) last_good_call_at: Option<Instant>,
    /// Observed calls that the sinks did not get yet; `Some` from the first call on.
    pub(super) calls: Option<Box<Calls>>,
    /// The trace of the last run, if it is kept.
    pub(crate) kept_trace: Option<Trace>,
    pub(crate) last_success_at: Option<SystemTime>,
    /// Whether the last run that was not unknown was good.
    pub(crate) last_result: Option<bool>,
    /// When the last run that was not unknown ended.
    pub(super) last_result_at: Option<Instant>,
    pub(crate) counters: CheckCounters,
    /// What was logged of failed runs that left the status alone.
    pub(super) failed_runs: FailedRuns,
}

/// The newest observed call.
#[derive(Debug, Clone)]
pub(super) enum Newest {
    /// A success; it is turned into a run only when a reader needs one.
    Success { ended: SystemTime, duration: Duration },
    /// Any other outcome.
    Other(Arc<Run>),
}

/// Origin of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The check itself, in a run; `judged` says that a processor keeps its trace by the outcome.
    Check { judged: bool },
    /// The host, in a call that it observed.
    Host,
}

/// What a failed run decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decides {
    /// As many in a row as the threshold says make the check down.
    ByThreshold,
    /// It makes the check down on its own.
    AtOnce,
}

/// Gives each status change its id.
#[derive(Debug, Default)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    /// The time in microseconds, or one more than the last id where that is not more.
    pub(super) fn next(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let micros = since_1970.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(0));
        let after = |last: u64| micros.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |l| Some(after(l)));
        after(last.unwrap_or_else(|last| last))
    }
}

impl Cell {
    pub(crate) const fn status(&self) -> Status {
        self.tracker.status()
    }

    pub(crate) const fn since(&self) -> SystemTime {
        self.since
    }

    pub(crate) const fn consecutive_failures(&self) -> u32 {
        self.tracker.consecutive_failures()
    }

    /// Whether any run has finished, of whatever outcome, or the host has set a status.
    pub(crate) const fn has_run(&self) -> bool {
        self.last_own_run.is_some() || self.last_call.is_some() || self.set.is_some()
    }

    pub(crate) const fn retired(&self) -> bool {
        self.retired
    }

    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    pub(crate) fn skip(&mut self, reason: SkipReason) {
        self.counters.skipped[reason as usize] += 1;
    }

    /// Whether the probes that it gates turn 503 if it is down.
    pub(crate) const fn gates_now(&self) -> bool {
        self.gating && !self.maintenance
    }

    /// Down, or unknown though it has run.
    pub(crate) fn failing(&self) -> bool {
        match self.tracker.status() {
            Status::Down => true,
            Status::Unknown => self.has_run(),
            Status::Up | Status::Degraded => false,
        }
    }

    /// What this check adds to the service's tally.
    pub(crate) fn weight(&self, info: &CheckInfo) -> CheckContribution {
        let gates = |gate| self.gates_now() && info.gates.contains(gate);
        let serving = matches!(self.status(), Status::Up | Status::Degraded);
        CheckContribution {
            not_up: self.status() != Status::Up,
            ready_failing: gates(Gate::Ready) && self.failing(),
            ready_waiting: gates(Gate::Ready) && !self.has_run(),
            health_failing: gates(Gate::Health) && self.failing(),
            startup_waiting: gates(Gate::Startup) && !serving,
            not_run: !self.has_run(),
        }
    }

    /// Counts `run`, which changed no status; `Some` when it is to be logged.
    pub(super) fn failed_run(&mut self, run: &Run, now: Instant) -> Option<FailedRun> {
        let below = run.outcome.is_failed() && self.status() != Status::Down && !self.maintenance;
        let runs = self.failed_runs.count(run.reason.filter(|_| below)?, now)?;
        Some(FailedRun { runs, status: self.status(), in_a_row: self.consecutive_failures() })
    }

    pub(super) fn change(&mut self, mut transition: Transition) -> Transition {
        let before = self.before.take().filter(|(status, _)| *status == transition.to);
        transition.since = before.map_or(transition.at, |(_, since)| since);
        self.since = transition.since;
        // The first status does not count as a change, because there was none before.
        if self.last_result.is_some() || self.set.is_some() {
            self.counters.transitions[transition.to as usize] += 1;
        }
        transition
    }

    /// Counts what ended at the time by both clocks.
    pub(super) fn count(
        &mut self,
        outcome: Outcome,
        reason: Option<Reason>,
        duration: Duration,
        kept: Option<Trace>,
        (now, ended): (Instant, SystemTime),
    ) {
        let figures = &mut self.counters;
        figures.outcomes[outcome as usize] += 1;
        figures.durations.record(duration, kept, ended);
        if outcome == Outcome::Unknown {
            return;
        }
        let good = outcome.is_good();
        self.last_result_at = Some(now);
        self.last_result = Some(good);
        if good {
            self.last_success_at = Some(ended);
        } else if let Some(reason) = reason {
            figures.failures[reason as usize] += 1;
        }
        if !self.maintenance {
            let counter = if good { &mut figures.slo_good } else { &mut figures.slo_bad };
            *counter += 1;
        }
    }
}
