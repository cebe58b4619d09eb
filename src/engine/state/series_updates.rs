//! Updates the [series sink](super::SeriesSink) when the state changes. Without a sink these
//! functions do nothing.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Cell, Entry, HealthState, Plan, suppressor};
use crate::model::{Status, Transition};

impl HealthState {
    /// Updates the series of `entry` after a change; `cell` is its locked cell.
    pub(super) fn update_series(&self, entry: &Entry, cell: &Cell) {
        if self.has_series_sink()
            && let Some(sink) = entry.series_sink().as_mut()
        {
            sink.show(cell);
        }
    }

    /// Updates the series of `entry` after a run that took `duration`; `cell` is its locked cell.
    pub(super) fn update_series_after_run(&self, entry: &Entry, cell: &Cell, duration: Duration) {
        if self.has_series_sink()
            && let Some(sink) = entry.series_sink().as_mut()
        {
            sink.ran(duration);
            sink.show(cell);
        }
    }

    /// Updates the series of `entry` after an observed call that left the status alone.
    pub(super) fn update_series_after_call(&self, entry: &Entry, cell: &Cell, duration: Duration) {
        if self.has_series_sink()
            && let Some(sink) = entry.series_sink().as_mut()
        {
            sink.ran(duration);
            sink.count(cell);
        }
    }

    /// Starts the series of an entry of a new plan, or continues those of the entry before it.
    pub(super) fn start_series(&self, entry: &Entry, cell: &Cell) {
        let Some(of_all) = &self.series_sink else { return };
        let mut shown = entry.series_sink();
        match shown.as_mut() {
            Some(sink) => sink.follow(&entry.info),
            None => *shown = Some(of_all.check(&entry.info)),
        }
        if let Some(sink) = shown.as_mut() {
            sink.show(cell);
        }
    }

    /// Updates the series that follow from `plan` as a whole, which is the current one.
    pub(super) fn update_plan_series(&self, plan: &Plan) {
        let Some(sink) = &self.series_sink else { return };
        sink.checks(plan.entries.len());
        self.write_suppression(|plan| &plan.entries);
    }

    /// Updates which checks are suppressed after `transitions` of `entry`, which is not locked.
    pub(super) fn update_suppressed_series<'t>(
        &self,
        entry: &Entry,
        transitions: impl IntoIterator<Item = &'t Transition>,
    ) {
        let matters = |t: &Transition| t.from == Status::Down || t.to == Status::Down;
        if self.has_series_sink() && transitions.into_iter().any(matters) {
            self.write_suppression(|plan| plan.dependents(&entry.info.name));
        }
    }

    fn write_suppression(&self, of: impl FnOnce(&Plan) -> &[Arc<Entry>]) {
        // The last thread that holds this lock sees all earlier changes.
        let _turn = self.suppressing.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = self.plan.load_full();
        for entry in of(&plan).iter().filter(|e| !e.info.depends_on.is_empty()) {
            let suppressed = suppressor(&plan, &entry.info).is_some();
            if let Some(sink) = entry.series_sink().as_mut() {
                sink.suppressed(suppressed);
            }
        }
    }

    /// Ends the series of the service and of all checks.
    pub(crate) fn withdraw(&self) {
        let Some(sink) = &self.series_sink else { return };
        {
            // the service's counts is locked whenever it is written to the sink.
            let _tally = self.tally();
            sink.withdraw();
        }
        self.plan.load_full().entries.iter().for_each(|entry| entry.withdraw());
    }
}

impl Entry {
    /// Ends the series of this check.
    pub(super) fn withdraw(&self) {
        if let Some(mut sink) = self.series_sink().take() {
            sink.withdraw();
        }
    }
}
