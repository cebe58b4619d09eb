//! What is known about one check: the cell that the recorder writes and every reader reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::figures::Figures;
use super::fold::{Fold, Thresholds};
use super::labels::{Labels, escaped};
use super::mirror::CheckMirror;
use super::observe::Newest;
use super::tally::Weight;
use crate::model::{
    Calls, CheckInfo, Gate, Outcome, Reason, Run, SkipReason, Status, Trace, Transition,
};

/// A check of the current plan.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) info: Arc<CheckInfo>,
    /// `check="…",kind="…"` and the labels of every series, prepared once for the metrics page.
    pub(crate) series: Box<str>,
    cell: Mutex<Cell>,
    /// Locked within the cell's lock or without it, never around it.
    mirror: Mutex<Option<Box<dyn CheckMirror>>>,
}

/// The mutable part of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(super) fold: Fold,
    since: SystemTime,
    /// What it was before this process, and since when, until its first status.
    before: Option<(Status, SystemTime)>,
    /// A plan without this check has been applied: what its last run still reports is dropped.
    retired: bool,
    /// Whether its gates count; not yet for a check that a reload brought, until its first run.
    gating: bool,
    pub(crate) maintenance: bool,
    /// The last run of the check itself: calls that the host observes have no phases and figures.
    pub(crate) asked: Option<Arc<Run>>,
    /// The last observed call, if it is newer than that run.
    pub(super) newest: Option<Newest>,
    /// When a good call was observed, if it is the newest of the calls.
    pub(super) well_at: Option<Instant>,
    /// Observed calls that the sinks were not told of yet; there from the first one on.
    pub(super) calls: Option<Box<Calls>>,
    /// The trace of the last run, if it is kept.
    pub(crate) kept_trace: Option<Trace>,
    pub(crate) last_success_at: Option<SystemTime>,
    /// Whether the last run that was not unknown was good.
    pub(crate) last_result: Option<bool>,
    /// When the last run that was not unknown ended.
    heard: Option<Instant>,
    pub(crate) figures: Figures,
}

/// Where changes get their ids from.
#[derive(Debug, Default)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    /// The time in microseconds, or one more than the last id where that is not more.
    fn next(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let micros = since_1970.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(0));
        let after = |last: u64| micros.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |l| Some(after(l)));
        after(last.unwrap_or_else(|last| last))
    }
}

/// What folding a run into a cell led to.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) transition: Option<Transition>,
    pub(crate) kept: bool,
}

impl Entry {
    /// A check without any run; `before` is its status before this process, and since when.
    pub(crate) fn new(
        info: Arc<CheckInfo>,
        labels: &Labels,
        gating: bool,
        maintenance: bool,
        before: Option<(Status, SystemTime)>,
        now: SystemTime,
    ) -> Self {
        Self::with_cell(
            info,
            labels,
            Cell {
                fold: Fold::default(),
                since: now,
                before,
                retired: false,
                gating,
                maintenance,
                asked: None,
                newest: None,
                well_at: None,
                calls: None,
                kept_trace: None,
                last_success_at: None,
                last_result: None,
                heard: None,
                figures: Figures::default(),
            },
        )
    }

    /// A changed check: it keeps its status until its own first run, and its counters for good.
    pub(crate) fn succeeding(info: Arc<CheckInfo>, labels: &Labels, old: &Self) -> Self {
        let mut before = old.lock();
        let mut cell = before.clone();
        // What the old question still answers would be lost from here on.
        before.retire();
        before.calls = None;
        drop(before);
        cell.well_at = None;
        // Streaks belong to the thresholds and the question they were counted under.
        cell.fold = cell.fold.inherited();
        if info.kind != old.info.kind {
            cell.figures = Figures::default();
        }
        let entry = Self::with_cell(info, labels, cell);
        *entry.mirror() = old.mirror().take();
        entry
    }

    fn with_cell(info: Arc<CheckInfo>, labels: &Labels, cell: Cell) -> Self {
        // A name needs no escapes, but nothing keeps a kind of the host's from having some.
        let own = format!("check=\"{}\",kind=\"{}\"", info.name, escaped(info.kind));
        let comma = if labels.text().is_empty() { "" } else { "," };
        let series = [&own, comma, labels.text()].concat().into();
        Self { info, series, cell: Mutex::new(cell), mirror: Mutex::default() }
    }

    /// Locks the cell. No code that holds it can panic half-way through a change that matters.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks what mirrors its series.
    pub(super) fn mirror(&self) -> MutexGuard<'_, Option<Box<dyn CheckMirror>>> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long after the last run that counts the status is forgotten.
    fn patience(&self) -> Duration {
        self.info.interval.saturating_mul(3).saturating_add(self.info.timeout)
    }

    /// When `cell`'s status goes stale, if nothing is heard until then.
    pub(crate) fn stale_at(&self, cell: &Cell) -> Option<Instant> {
        let known = cell.fold.status() != Status::Unknown;
        let heard = cell.heard.filter(|_| known)?;
        heard.checked_add(self.patience())
    }

    /// Forgets the status if it is stale by `now`.
    pub(crate) fn expire(&self, cell: &mut Cell, now: Instant, ids: &Ids) -> Option<Transition> {
        let stale_at = self.stale_at(cell).filter(|at| *at < now)?;
        let at = SystemTime::now() - now.saturating_duration_since(stale_at);
        let from = cell.fold.go_stale();
        let since = self.patience();
        Some(cell.change(Transition {
            id: ids.next(),
            from,
            to: Status::Unknown,
            at,
            reason: None,
            message: Some(format!("no run has ended for {}", humantime::format_duration(since))),
            trace: None,
        }))
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds { failure: self.info.failure_threshold, success: self.info.success_threshold }
    }

    /// Folds a finished run in, of the check itself or of a call that was observed. `keeps_tail`
    /// says that traces are kept by outcome.
    pub(super) fn fold(
        &self,
        cell: &mut Cell,
        run: &Arc<Run>,
        keeps_tail: bool,
        ids: &Ids,
    ) -> Folded {
        let from = cell.fold.apply(run.outcome, self.thresholds());
        let to = cell.fold.status();
        let ended = run.at + run.duration;
        let transition = (from != to).then(|| {
            cell.change(Transition {
                id: ids.next(),
                from,
                to,
                at: ended,
                reason: run.reason,
                message: run.message.clone(),
                trace: run.trace,
            })
        });
        cell.gating = true;
        let notable = run.outcome != Outcome::Success
            || transition.is_some()
            || run.duration > self.info.timeout / 2;
        let kept = run.trace.is_some_and(|t| t.sampled || keeps_tail && notable);
        let kept_trace = run.trace.filter(|_| kept);
        cell.count(run.outcome, run.reason, run.duration, kept_trace, (Instant::now(), ended));
        cell.kept_trace = kept_trace;
        Folded { transition, kept }
    }
}

impl Cell {
    pub(crate) const fn status(&self) -> Status {
        self.fold.status()
    }

    pub(crate) const fn since(&self) -> SystemTime {
        self.since
    }

    pub(crate) const fn consecutive_failures(&self) -> u32 {
        self.fold.consecutive_failures()
    }

    /// Whether any run has finished, of whatever outcome.
    pub(crate) const fn has_run(&self) -> bool {
        self.asked.is_some() || self.newest.is_some()
    }

    pub(crate) const fn retired(&self) -> bool {
        self.retired
    }

    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    pub(crate) fn skip(&mut self, reason: SkipReason) {
        self.figures.skipped[reason as usize] += 1;
    }

    /// Whether its being down counts for the probes it gates.
    pub(crate) const fn gates_now(&self) -> bool {
        self.gating && !self.maintenance
    }

    /// Down, or unknown though it has run.
    pub(crate) fn failing(&self) -> bool {
        match self.fold.status() {
            Status::Down => true,
            Status::Unknown => self.has_run(),
            Status::Up | Status::Degraded => false,
        }
    }

    /// What this check adds to the service's tally.
    pub(crate) fn weight(&self, info: &CheckInfo) -> Weight {
        let gates = |gate| self.gates_now() && info.gates.contains(gate);
        let serving = matches!(self.status(), Status::Up | Status::Degraded);
        Weight {
            not_up: self.status() != Status::Up,
            ready_failing: gates(Gate::Ready) && self.failing(),
            ready_waiting: gates(Gate::Ready) && !self.has_run(),
            health_failing: gates(Gate::Health) && self.failing(),
            startup_waiting: gates(Gate::Startup) && !serving,
            not_run: !self.has_run(),
        }
    }

    fn change(&mut self, transition: Transition) -> Transition {
        let before = self.before.take().filter(|(status, _)| *status == transition.to);
        self.since = before.map_or(transition.at, |(_, since)| since);
        // The first status of all is no change: nothing was known before.
        if self.last_result.is_some() {
            self.figures.transitions[transition.to as usize] += 1;
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
        let figures = &mut self.figures;
        figures.outcomes[outcome as usize] += 1;
        figures.durations.record(duration, kept, ended);
        if outcome == Outcome::Unknown {
            return;
        }
        let good = outcome.is_good();
        self.heard = Some(now);
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
