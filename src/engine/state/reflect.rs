//! Keeping the mirror of the series, where there is one, as the state is.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Cell, Entry, HealthState, Plan, suppressor};
use crate::model::{Status, Transition};

impl HealthState {
    /// Mirrors a change of `entry`, whose locked cell is `cell`.
    pub(super) fn reflect(&self, entry: &Entry, cell: &Cell) {
        if self.is_mirrored()
            && let Some(mirror) = entry.mirror().as_mut()
        {
            mirror.show(cell);
        }
    }

    /// Mirrors a run of `entry` that took so long, whose locked cell is `cell`.
    pub(super) fn reflect_run(&self, entry: &Entry, cell: &Cell, duration: Duration) {
        if self.is_mirrored()
            && let Some(mirror) = entry.mirror().as_mut()
        {
            mirror.ran(duration);
            mirror.show(cell);
        }
    }

    /// Mirrors an observed call to `entry` that took so long and left the status alone.
    pub(super) fn reflect_call(&self, entry: &Entry, cell: &Cell, duration: Duration) {
        if self.is_mirrored()
            && let Some(mirror) = entry.mirror().as_mut()
        {
            mirror.ran(duration);
            mirror.count(cell);
        }
    }

    /// Starts to mirror an entry that a new plan brings, or goes on from the one before it.
    pub(super) fn reflect_planned(&self, entry: &Entry, cell: &Cell) {
        let Some(of_all) = &self.mirror else { return };
        let mut shown = entry.mirror();
        match shown.as_mut() {
            Some(mirror) => mirror.follow(&entry.info),
            None => *shown = Some(of_all.check(&entry.info)),
        }
        if let Some(mirror) = shown.as_mut() {
            mirror.show(cell);
        }
    }

    /// Mirrors what follows from a plan as a whole, which is the current one.
    pub(super) fn reflect_plan(&self, plan: &Plan) {
        let Some(mirror) = &self.mirror else { return };
        mirror.checks(plan.entries.len());
        self.reflect_suppression(|plan| &plan.entries);
    }

    /// Mirrors which checks are suppressed after `transitions` of `entry`, which is not locked.
    pub(super) fn reflect_dependents<'t>(
        &self,
        entry: &Entry,
        transitions: impl IntoIterator<Item = &'t Transition>,
    ) {
        let matters = |t: &Transition| t.from == Status::Down || t.to == Status::Down;
        if self.is_mirrored() && transitions.into_iter().any(matters) {
            self.reflect_suppression(|plan| plan.dependents(&entry.info.name));
        }
    }

    fn reflect_suppression(&self, of: impl FnOnce(&Plan) -> &[Arc<Entry>]) {
        // Whoever comes last has seen every change whose own turn is over.
        let _turn = self.suppressing.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = self.plan.load_full();
        for entry in of(&plan).iter().filter(|e| !e.info.depends_on.is_empty()) {
            let suppressed = suppressor(&plan, &entry.info).is_some();
            if let Some(mirror) = entry.mirror().as_mut() {
                mirror.suppressed(suppressed);
            }
        }
    }

    /// Mirrors nothing from now on.
    pub(crate) fn withdraw(&self) {
        let Some(mirror) = &self.mirror else { return };
        {
            // Whoever changes the tally holds it while telling the mirror.
            let _tally = self.tally();
            mirror.withdraw();
        }
        self.plan.load_full().entries.iter().for_each(|entry| entry.withdraw());
    }
}

impl Entry {
    /// Mirrors nothing of it from now on.
    pub(super) fn withdraw(&self) {
        if let Some(mut mirror) = self.mirror().take() {
            mirror.withdraw();
        }
    }
}
