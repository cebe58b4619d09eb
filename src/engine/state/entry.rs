//! A check of the current plan with the cell that holds its state. `Entry::fold` adds a run to the
//! state and decides whether its trace is kept; `Entry::expire` turns a stale status to unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::cell::{Cell, Decides, Ids};
use super::counters::CheckCounters;
use super::failed_runs::FailedRuns;
use super::labels::{Labels, escaped};
use super::series_sink::CheckSeriesSink;
use super::status_tracker::{StatusTracker, Thresholds};
use crate::model::{CheckInfo, Outcome, Run, Status, Transition};

/// A check of the current plan.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) info: Arc<CheckInfo>,
    /// `check="…",kind="…"` and the labels of every series, prepared once for the metrics page.
    pub(crate) series: Box<str>,
    cell: Mutex<Cell>,
    /// Lock order: the cell first, then this.
    series_sink: Mutex<Option<Box<dyn CheckSeriesSink>>>,
}

/// Result of adding a run to a cell.
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
                tracker: StatusTracker::default(),
                since: now,
                before,
                retired: false,
                gating,
                maintenance,
                last_own_run: None,
                last_call: None,
                set: None,
                last_good_call_at: None,
                calls: None,
                kept_trace: None,
                last_success_at: None,
                last_result: None,
                last_result_at: None,
                counters: CheckCounters::default(),
                failed_runs: FailedRuns::default(),
            },
        )
    }

    /// A changed check: it keeps its status until its own first run, and its counters for good.
    pub(crate) fn succeeding(info: Arc<CheckInfo>, labels: &Labels, old: &Self) -> Self {
        let mut before = old.lock();
        let mut cell = before.clone();
        // Results of the old check that arrive from here on are ignored.
        before.retire();
        before.calls = None;
        drop(before);
        cell.last_good_call_at = None;
        // Streaks are only valid for the options under which they were counted.
        cell.tracker = cell.tracker.inherited();
        if info.kind != old.info.kind {
            cell.counters = CheckCounters::default();
        }
        let entry = Self::with_cell(info, labels, cell);
        *entry.series_sink() = old.series_sink().take();
        entry
    }

    fn with_cell(info: Arc<CheckInfo>, labels: &Labels, cell: Cell) -> Self {
        // Names need no escapes, but a host's own kind may.
        let own = format!("check=\"{}\",kind=\"{}\"", info.name, escaped(info.kind));
        let comma = if labels.text().is_empty() { "" } else { "," };
        let series = [&own, comma, labels.text()].concat().into();
        Self { info, series, cell: Mutex::new(cell), series_sink: Mutex::default() }
    }

    /// Locks the cell. No code that holds it can panic half-way through a change that matters.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the sink of its series.
    pub(super) fn series_sink(&self) -> MutexGuard<'_, Option<Box<dyn CheckSeriesSink>>> {
        self.series_sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Age of the last run that counts at which the status becomes unknown.
    fn stale_after(&self) -> Duration {
        self.info.interval.saturating_mul(3).saturating_add(self.info.timeout)
    }

    /// When the status of `cell` becomes stale, if no result arrives before.
    pub(crate) fn stale_at(&self, cell: &Cell) -> Option<Instant> {
        let known = cell.tracker.status() != Status::Unknown;
        let heard = cell.last_result_at.filter(|_| known)?;
        heard.checked_add(self.stale_after())
    }

    /// Sets the status to unknown if it is stale at `now`: no run has ended for 3 × interval +
    /// timeout.
    pub(crate) fn expire(&self, cell: &mut Cell, now: Instant, ids: &Ids) -> Option<Transition> {
        let stale_at = self.stale_at(cell).filter(|at| *at < now)?;
        let at = SystemTime::now() - now.saturating_duration_since(stale_at);
        let from = cell.tracker.go_stale();
        let since = self.stale_after();
        Some(cell.change(Transition {
            id: ids.next(),
            from,
            to: Status::Unknown,
            at,
            since: at,
            reason: None,
            message: Some(format!("no run has ended for {}", humantime::format_duration(since))),
            trace: None,
        }))
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds { failure: self.info.failure_threshold, success: self.info.success_threshold }
    }

    /// Adds a finished run, of the check itself or of an observed call.
    ///
    /// It also decides whether the trace of the run is kept: if it was sampled at its start, or,
    /// with `judged` (a tail-sampling processor is installed), if the outcome is not `success`, the
    /// status changed, or the run was slow: longer than half its timeout.
    pub(super) fn fold(
        &self,
        cell: &mut Cell,
        run: &Arc<Run>,
        decides: Decides,
        judged: bool,
        ids: &Ids,
    ) -> Folded {
        let thresholds = match decides {
            Decides::ByThreshold => self.thresholds(),
            Decides::AtOnce => Thresholds { failure: 1, ..self.thresholds() },
        };
        let from = cell.tracker.apply(run.outcome, thresholds);
        let to = cell.tracker.status();
        let ended = run.at + run.duration;
        let transition = (from != to).then(|| {
            cell.change(Transition {
                id: ids.next(),
                from,
                to,
                at: ended,
                since: ended,
                reason: run.reason,
                message: run.message.clone(),
                trace: run.trace,
            })
        });
        // A check that a reload added may be misconfigured: one failed run is not enough to gate.
        let proven = cell.consecutive_failures() >= self.info.failure_threshold;
        cell.gating |= run.outcome.is_good() || proven;
        // Beyond its timeout a run is cancelled: what took longer is a job that reported to the check.
        let slow = self.info.timeout / 2 < run.duration && run.duration <= self.info.timeout;
        let notable = run.outcome != Outcome::Success || transition.is_some() || slow;
        let kept = run.trace.is_some_and(|t| t.sampled || judged && notable);
        let kept_trace = run.trace.filter(|_| kept);
        cell.count(run.outcome, run.reason, run.duration, kept_trace, (Instant::now(), ended));
        cell.kept_trace = kept_trace;
        Folded { transition, kept }
    }
}
