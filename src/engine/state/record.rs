//! The recorder: all methods that change the state.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

#[cfg(feature = "maintenance")]
use super::Maintained;
use super::cell::{Cell, Decides, Origin};
use super::service_counts::CheckContribution;
use super::{Entry, HealthState, Plan, ServiceCounts, failed_runs};
use crate::model::{
    CheckInfo, Event, Run, SkipReason, Status, Transition, catch_sink_panic, log_targets,
};

/// A check of a new plan, as the scheduler sees it against the current one.
pub(crate) enum Planned {
    /// The same check: it keeps its entry, and with it state, streaks and series.
    Untouched(Arc<Entry>),
    /// A changed check: it keeps its status until its first run.
    Changed(Arc<CheckInfo>),
    /// A new name.
    New(Arc<CheckInfo>),
}

/// Result of recording a run.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) status: Status,
    pub(crate) transition: Option<Transition>,
    /// Whether its trace is kept.
    pub(crate) kept: bool,
}

impl HealthState {
    /// Folds in a run whose failure counts like any other.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn record(&self, entry: &Arc<Entry>, run: Run, judged: bool) -> Option<Recorded> {
        self.record_deciding(entry, run, judged, Decides::ByThreshold)
    }

    /// Folds a finished run in; `None` when the plan has dropped the check. `judged` says that a
    /// processor keeps its trace by the outcome.
    pub(crate) fn record_deciding(
        &self,
        entry: &Arc<Entry>,
        run: Run,
        judged: bool,
        decides: Decides,
    ) -> Option<Recorded> {
        let cell = entry.lock();
        if cell.retired() {
            return None;
        }
        let judged = judged || self.keeps_tail;
        Some(self.fold(entry, cell, &Arc::new(run), (Origin::Check { judged }, decides)))
    }

    /// Adds a run to the cell, calls the sinks and releases the cell.
    pub(super) fn fold(
        &self,
        entry: &Entry,
        mut cell: MutexGuard<'_, Cell>,
        run: &Arc<Run>,
        (origin, decides): (Origin, Decides),
    ) -> Recorded {
        let now = Instant::now();
        // The host itself decides about its own spans.
        let judged = matches!(origin, Origin::Check { judged: true });
        let (stale, recorded) = self.change(entry, &mut cell, |cell| {
            let stale = entry.expire(cell, now, &self.ids);
            let folded = entry.fold(cell, run, decides, judged, &self.ids);
            cell.remember(run, origin);
            let (status, kept) = (cell.status(), folded.kept);
            let maintenance = cell.maintenance;
            self.send(entry, Event::Run { run, status, trace_kept: kept, maintenance });
            for transition in stale.iter().chain(&folded.transition) {
                self.send(entry, Event::Transition(transition));
            }
            (stale, Recorded { status, transition: folded.transition, kept })
        });
        self.update_series_after_run(entry, &cell, run.duration);
        if let Some(at) = entry.stale_at(&cell) {
            self.fresh_until.fetch_min(self.nanos_of(at), Ordering::AcqRel);
        }
        let failed = match recorded.transition {
            Some(_) => None,
            None => cell.failed_run(run, now),
        };
        drop(cell);
        self.update_suppressed_series(entry, stale.iter().chain(&recorded.transition));
        // Written once the entry is free: a log that blocks must not block a probe.
        if let Some(failed) = failed {
            failed_runs::log(&entry.info, run, failed);
        }
        for transition in stale.iter().chain(&recorded.transition) {
            self.log_transition(&entry.info, transition, recorded.kept);
        }
        recorded
    }

    /// Counts a due run that was not started.
    pub(crate) fn skip(&self, entry: &Entry, reason: SkipReason) {
        let mut cell = entry.lock();
        if cell.retired() {
            return;
        }
        cell.skip(reason);
        self.update_series(entry, &cell);
        self.send(entry, Event::Skipped(reason));
    }

    /// Counts the time that a run started after it was due.
    pub(crate) fn delayed(&self, delay: Duration) {
        self.delays().record(delay, None, SystemTime::UNIX_EPOCH);
        if let Some(series_sink) = &self.series_sink {
            series_sink.delayed(delay);
        }
    }

    /// Makes `checks` the plan and returns their entries in the same order.
    ///
    /// The checks of the first plan gate from the start; those that a later one adds only after their
    /// first good run, or `failure_threshold` failed ones in a row.
    pub(crate) fn apply(&self, checks: Vec<Planned>) -> Vec<Arc<Entry>> {
        let maintained = self.maintained();
        let now = SystemTime::now();
        let old = self.plan.load_full();
        let first = !self.tally().planned();
        // Only for the first plan: a check that a reload adds is new.
        let mut remembered =
            std::mem::take(&mut *self.remembered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut new = |info: Arc<CheckInfo>| {
            let (maintenance, before) =
                (maintained.holds(&info.name), remembered.remove(&info.name));
            Arc::new(Entry::new(info, &self.labels, first, maintenance, before, now))
        };
        let entries: Vec<Arc<Entry>> = checks
            .into_iter()
            .map(|planned| match planned {
                Planned::Untouched(entry) => entry,
                Planned::New(info) => new(info),
                Planned::Changed(info) => match old.find(&info.name) {
                    Some(before) => Arc::new(Entry::succeeding(info, &self.labels, before)),
                    None => new(info),
                },
            })
            .collect();
        let plan = Arc::new(Plan::of(entries.clone()));
        let kept = |plan: &Plan, entry: &Arc<Entry>| {
            plan.find(&entry.info.name).is_some_and(|e| Arc::ptr_eq(e, entry))
        };
        // New checks are counted before removed ones, so that no sum is too low in between.
        for entry in plan.entries.iter().filter(|e| !kept(&old, e)) {
            let cell = entry.lock();
            self.start_series(entry, &cell);
            self.update_counts(|tally| {
                let weight = cell.weight(&entry.info);
                tally.replace(CheckContribution::default(), weight, &entry.info.groups, now);
            });
            if cell.maintenance && old.find(&entry.info.name).is_none() {
                self.send(entry, Event::Maintenance(true));
            }
            if cell.calls.is_some() {
                self.watch(entry);
            }
        }
        self.plan.store(Arc::clone(&plan));
        for entry in old.entries.iter().filter(|e| !kept(&plan, e)) {
            let mut cell = entry.lock();
            cell.retire();
            entry.withdraw();
            self.update_counts(|tally| {
                let weight = cell.weight(&entry.info);
                tally.replace(weight, CheckContribution::default(), &entry.info.groups, now);
            });
            if plan.find(&entry.info.name).is_none() {
                self.send_calls(entry, &mut cell);
                self.send(entry, Event::Removed);
            }
        }
        self.update_plan_series(&plan);
        self.update_counts(|tally| tally.plan(|group| plan.has_group(group), now));
        self.fresh_until.store(0, Ordering::Release);
        self.touch();
        entries
    }

    /// Makes `new` the set of checks in maintenance, for the current plan and later ones.
    #[cfg(feature = "maintenance")]
    pub(crate) fn set_maintenance(&self, new: Maintained) {
        let mut maintained = self.maintained();
        let old = std::mem::replace(&mut *maintained, new);
        let plan = self.plan.load_full();
        let change = |entry: &Arc<Entry>| self.maintain(entry, maintained.holds(&entry.info.name));
        match old.difference(&maintained) {
            Some(names) => names.filter_map(|name| plan.find(name)).for_each(change),
            None => plan.entries.iter().for_each(change),
        }
    }

    #[cfg(feature = "maintenance")]
    fn maintain(&self, entry: &Entry, maintenance: bool) {
        let mut cell = entry.lock();
        if cell.maintenance == maintenance {
            return;
        }
        self.change(entry, &mut cell, |cell| {
            cell.maintenance = maintenance;
            self.send(entry, Event::Maintenance(maintenance));
        });
        self.update_series(entry, &cell);
        // Views of the check alone also show this, even if its weight did not change.
        self.touch();
    }

    /// Turns every status that is stale by `now` to unknown, and reports it.
    ///
    /// Every reader calls this first, so that no check stays up when the check runtime hangs;
    /// nearly always it is one comparison.
    pub(crate) fn refresh(&self, now: Instant) {
        if self.nanos_of(now) <= self.fresh_until.load(Ordering::Acquire) {
            return;
        }
        // Runs that end meanwhile lower this again, so it is set before looking.
        self.fresh_until.store(u64::MAX, Ordering::Release);
        let plan = self.plan.load_full();
        for entry in &plan.entries {
            let mut cell = entry.lock();
            if cell.retired() {
                continue;
            }
            let stale = self.change(entry, &mut cell, |cell| entry.expire(cell, now, &self.ids));
            if let Some(at) = entry.stale_at(&cell) {
                self.fresh_until.fetch_min(self.nanos_of(at), Ordering::AcqRel);
            }
            if let Some(transition) = stale {
                self.send(entry, Event::Transition(&transition));
                self.update_series(entry, &cell);
                drop(cell);
                self.update_suppressed_series(entry, [&transition]);
                self.log_transition(&entry.info, &transition, false);
            }
        }
    }

    /// Heartbeat of the check runtime, which calls this once a second.
    pub(crate) fn runtime_is_alive(&self) {
        self.runtime_was_alive.store(true, Ordering::Release);
    }

    /// The HTTP side calls this once a second: it counts missing heartbeats of the check runtime,
    /// and looks for stale statuses.
    ///
    /// It counts its own ticks instead of time, so that waking up from a suspension is not a
    /// failure: both sides slept.
    pub(crate) fn tick(&self) {
        let silent = if self.runtime_was_alive.swap(false, Ordering::AcqRel) {
            self.silent_ticks.store(0, Ordering::Release);
            0
        } else {
            self.silent_ticks.fetch_add(1, Ordering::AcqRel).saturating_add(1)
        };
        let live = silent < self.tolerated_ticks;
        self.set_live(live, silent);
        self.send_all_calls();
        self.refresh(Instant::now());
    }

    fn set_live(&self, live: bool, silent: u32) {
        if self.tally().live() == live {
            return;
        }
        self.update_counts(|tally| tally.set_live(live, SystemTime::now()));
        self.touch();
        if live {
            tracing::info!(
                target: log_targets::SCHEDULER,
                "the check runtime makes progress again"
            );
        } else {
            tracing::error!(
                target: log_targets::SCHEDULER,
                seconds = silent, "the check runtime has stopped: not live"
            );
        }
    }

    /// Makes readiness say `draining` from now on.
    pub(crate) fn drain(&self) {
        self.update_counts(|tally| tally.drain(SystemTime::now()));
        self.touch();
    }

    /// Changes a cell and, if its weight changes, also the service's counts. The sinks get earlier observed
    /// calls first.
    pub(super) fn change<T>(
        &self,
        entry: &Entry,
        cell: &mut Cell,
        f: impl FnOnce(&mut Cell) -> T,
    ) -> T {
        self.send_calls(entry, cell);
        let weight = cell.weight(&entry.info);
        let status = cell.status();
        let result = f(cell);
        let now = cell.weight(&entry.info);
        if weight != now {
            let groups = &entry.info.groups;
            self.update_counts(|tally| tally.replace(weight, now, groups, SystemTime::now()));
        }
        if weight != now || status != cell.status() {
            self.touch();
        }
        result
    }

    /// Changes the service's counts. The sinks get each new status of the service, in order.
    fn update_counts(&self, f: impl FnOnce(&mut ServiceCounts)) {
        let mut tally = self.tally();
        let before = tally.status();
        f(&mut tally);
        if let Some(series_sink) = &self.series_sink {
            series_sink.service(&tally);
        }
        if tally.status() != before {
            for sink in &self.sinks {
                catch_sink_panic(|| sink.service(tally.status(), tally.since()));
            }
        }
    }

    pub(super) fn send(&self, entry: &Entry, event: Event<'_>) {
        for sink in &self.sinks {
            catch_sink_panic(|| sink.record(&entry.info, event));
        }
    }

    /// The one log line of a status change; `kept` says that its trace is.
    pub(super) fn log_transition(&self, info: &CheckInfo, transition: &Transition, kept: bool) {
        let check = &*info.name;
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        let reason = transition.reason.map(crate::model::Reason::as_str);
        let trace_id = transition.trace.map(|t| t.trace_id_hex());
        let trace_url = transition.trace.filter(|_| kept).and_then(|t| self.trace_link(&t));
        let cause = transition.message.as_deref();
        if transition.to == Status::Up {
            tracing::info!(
                target: log_targets::CHECK,
                check, from, to, reason, trace_id, trace_url, cause, "status changed"
            );
        } else {
            tracing::warn!(
                target: log_targets::CHECK,
                check, from, to, reason, trace_id, trace_url, cause, "status changed"
            );
        }
    }
}
