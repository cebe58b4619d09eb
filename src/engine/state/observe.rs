//! Observed calls of the host: they count like runs, but sinks get them together.
//!
//! A call that does not change the status touches only its check's cell: it costs a lock, two
//! readings of the clock and a few additions. The sinks get all such calls together once a second,
//! or earlier, so that they arrive before the next event of the same check.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::cell::{Cell, Decides, Newest, Origin};
use super::{Entry, HealthState, failed_runs};
use crate::model::{CheckInfo, Event, Outcome, Reason, Run, Status, Trace};

/// A call that the host observed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) outcome: Outcome,
    pub(crate) duration: Duration,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: Option<String>,
    /// The sampled span that it failed in.
    pub(crate) trace: Option<Trace>,
}

impl Call {
    /// The run that it counts as; the measurements of the check's own last run do not change.
    fn run(self, ended: SystemTime, asked: Option<&Run>) -> Run {
        Run {
            at: began(ended, self.duration),
            duration: self.duration,
            outcome: self.outcome,
            reason: self.reason,
            message: self.message,
            trace: self.trace,
            phases: Vec::new(),
            measurements: asked.map(|run| run.measurements.clone()).unwrap_or_default(),
        }
    }
}

/// The warning text of an answer that took longer than `degraded_after`.
pub(crate) fn slowness(info: &CheckInfo, duration: Duration) -> Option<String> {
    let limit = info.degraded_after.filter(|limit| duration > *limit)?;
    let limit = humantime::format_duration(limit);
    let took = duration.as_secs_f64();
    Some(format!("answered in {took:.3} s, slower than degraded_after = {limit}"))
}

/// When a call began that took `duration`; a duration that no clock can represent counts as zero.
fn began(ended: SystemTime, duration: Duration) -> SystemTime {
    ended.checked_sub(duration).unwrap_or(ended)
}

impl Cell {
    /// The last run, of the check itself or of a call that was observed, or what the host has set.
    pub(crate) fn last_run(&self) -> Option<Arc<Run>> {
        match &self.last_call {
            None => self.last_own_run.as_ref().or(self.set.as_ref()).cloned(),
            Some(Newest::Other(run)) => Some(Arc::clone(run)),
            Some(Newest::Success { ended, duration }) => {
                let (reason, message, trace) = (None, None, None);
                let (outcome, duration) = (Outcome::Success, *duration);
                let call = Call { outcome, duration, reason, message, trace };
                Some(Arc::new(call.run(*ended, self.last_own_run.as_deref())))
            }
        }
    }

    /// When the last run ended.
    pub(crate) fn last_ended(&self) -> Option<SystemTime> {
        let ended = |run: &Run| run.at + run.duration;
        match &self.last_call {
            None => self.last_own_run.as_deref().map(ended),
            Some(Newest::Other(run)) => Some(ended(run)),
            Some(Newest::Success { ended, .. }) => Some(*ended),
        }
    }

    /// Whether its own run can be omitted: the newest call was good and is not older than
    /// `interval`.
    pub(super) fn well_within(&self, interval: Duration, now: Instant) -> bool {
        let serving = matches!(self.status(), Status::Up | Status::Degraded);
        let recent = |at: Instant| now.saturating_duration_since(at) <= interval;
        serving && self.last_good_call_at.is_some_and(recent)
    }

    /// Makes `run` the last one.
    pub(super) fn remember(&mut self, run: &Arc<Run>, origin: Origin) {
        self.set = None;
        match origin {
            Origin::Check { .. } => {
                self.last_own_run = Some(Arc::clone(run));
                self.last_call = None;
            }
            Origin::Host => self.last_call = Some(Newest::Other(Arc::clone(run))),
        }
    }

    fn note_well(&mut self, outcome: Outcome, now: Instant) {
        if outcome != Outcome::Unknown {
            self.last_good_call_at = outcome.is_good().then_some(now);
        }
    }
}

impl Entry {
    /// Whether the run of the check that is due at `now` can be omitted because of observed calls.
    pub(crate) fn spares(&self, now: Instant) -> bool {
        let cell = self.lock();
        !cell.retired() && cell.well_within(self.info.interval, now)
    }
}

impl HealthState {
    /// Adds an observed call; returns it if another entry has replaced this one.
    pub(crate) fn observe(&self, entry: &Arc<Entry>, mut observed: Call) -> Result<(), Call> {
        let now = Instant::now();
        let ended = SystemTime::now();
        let mut cell = entry.lock();
        if cell.retired() {
            return Err(observed);
        }
        if observed.outcome == Outcome::Success
            && let Some(caveat) = slowness(&entry.info, observed.duration)
        {
            (observed.outcome, observed.message) = (Outcome::Warning, Some(caveat));
        }
        cell.note_well(observed.outcome, now);
        let mut fold = cell.tracker;
        let status = fold.apply(observed.outcome, entry.thresholds());
        // Without a status nothing can become stale, and a gate may wait for this call.
        let fresh = entry.stale_at(&cell).is_some_and(|at| now <= at);
        if !fresh || fold.status() != status || !cell.gating {
            self.turn(entry, cell, observed, ended);
            return Ok(());
        }
        cell.tracker = fold;
        let (outcome, reason, duration) = (observed.outcome, observed.reason, observed.duration);
        cell.count(outcome, reason, duration, observed.trace, (now, ended));
        cell.kept_trace = observed.trace;
        let first = cell.calls.is_none();
        cell.calls.get_or_insert_default().add(outcome, reason, duration, now);
        let mut failed = None;
        if outcome == Outcome::Success {
            cell.last_call = Some(Newest::Success { ended, duration });
        } else {
            let run = Arc::new(observed.run(ended, cell.last_own_run.as_deref()));
            if let Some(calls) = &mut cell.calls {
                calls.note(&run, now);
            }
            failed = cell.failed_run(&run, now).map(|failed| (Arc::clone(&run), failed));
            cell.last_call = Some(Newest::Other(run));
        }
        self.update_series_after_call(entry, &cell, duration);
        drop(cell);
        if let Some((run, failed)) = failed {
            failed_runs::log(&entry.info, &run, failed);
        }
        if first {
            self.watch(entry);
        }
        Ok(())
    }

    /// Adds a call that may change the status, with all effects of a run.
    #[cold]
    fn turn(&self, entry: &Entry, cell: MutexGuard<'_, Cell>, observed: Call, ended: SystemTime) {
        let run = Arc::new(observed.run(ended, cell.last_own_run.as_deref()));
        self.fold(entry, cell, &run, (Origin::Host, Decides::ByThreshold));
    }

    /// Sends the calls of the check to the sinks from now on, once a second.
    pub(super) fn watch(&self, entry: &Arc<Entry>) {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(entry));
    }

    /// Sends all observed calls to the sinks that they did not get yet.
    pub(crate) fn send_all_calls(&self) {
        // No cell is locked while this list is: `apply` adds to it with a cell locked.
        let list = || self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched = std::mem::take(&mut *list());
        watched.retain(|entry| {
            let mut cell = entry.lock();
            if !cell.retired() {
                self.send_calls(entry, &mut cell);
            }
            !cell.retired()
        });
        list().append(&mut watched);
    }

    /// Sends the check's observed calls to the sinks that they did not get yet.
    pub(super) fn send_calls(&self, entry: &Entry, cell: &mut Cell) {
        let (status, maintenance) = (cell.status(), cell.maintenance);
        if let Some(calls) = cell.calls.as_deref_mut().filter(|calls| !calls.is_empty()) {
            calls.under(status, maintenance);
            self.send(entry, Event::Observed(calls));
            calls.clear();
        }
    }
}
