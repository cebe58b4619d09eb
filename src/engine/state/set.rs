//! Statuses that the host sets, of checks that are not asked.

use std::sync::Arc;

use super::cell::Cell;
use super::{Entry, HealthState};
use crate::model::{Event, Run, Transition};

impl HealthState {
    /// Gives a check the status that the host has set, in the form of a run; false when the plan has
    /// dropped it.
    ///
    /// The sinks get the change and no run, for nothing was asked.
    pub(crate) fn set(&self, entry: &Entry, set: &Arc<Run>) -> bool {
        let mut cell = entry.lock();
        if cell.retired() {
            return false;
        }
        let transition = self.change(entry, &mut cell, |cell| {
            let transition = self.transition(cell, set);
            cell.set(set);
            if let Some(transition) = &transition {
                self.send(entry, Event::Transition(transition));
            }
            transition
        });
        self.update_series(entry, &cell);
        drop(cell);
        self.update_suppressed_series(entry, &transition);
        if let Some(transition) = &transition {
            self.log_transition(&entry.info, transition, set.trace.is_some());
        }
        true
    }

    fn transition(&self, cell: &mut Cell, set: &Run) -> Option<Transition> {
        let (from, to) = (cell.status(), set.outcome.status());
        (from != to).then(|| {
            cell.change(Transition {
                id: self.ids.next(),
                from,
                to,
                at: set.at,
                since: set.at,
                reason: set.reason,
                message: set.message.clone(),
                trace: set.trace,
            })
        })
    }
}

impl Cell {
    /// Makes `set` all that is known: runs from before the check was one to be set say nothing now.
    fn set(&mut self, set: &Arc<Run>) {
        self.tracker.set(set.outcome.status());
        // A host that has spoken once means what it says: no run has to prove it.
        self.gating = true;
        self.set = Some(Arc::clone(set));
        (self.last_own_run, self.last_call) = (None, None);
        (self.last_result_at, self.last_good_call_at) = (None, None);
        (self.last_result, self.last_success_at) = (None, None);
        self.kept_trace = set.trace;
    }
}
