//! Data that the store has not acknowledged yet. Values are absolute, so that writing them again
//! does no harm. Their number is limited, so that memory does not grow without end while the store
//! is unreachable.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::incident::{Changed, Period};
use super::rollup::{Millis, Rollup, Width};
use crate::model::{ServiceStatus, Status};

/// Most roll-ups that wait: ten to fifteen megabytes.
const MAX_ROLLUPS: usize = 50_000;

/// Most status changes that wait, and as many incidents.
const MAX_CHANGES: usize = 10_000;

/// Most bytes of single runs that wait.
const MAX_RAW: usize = 4 << 20;

/// A kind of roll-up and its start.
pub(super) type Slot = (Width, Millis);

/// The roll-ups of one slot, by check.
pub(super) type Rollups = HashMap<Arc<str>, Rollup>;

/// A status and since when it holds.
pub(super) type StatusSince = Option<(Status, Millis)>;

/// Data that waits for the store.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Of periods that are over.
    pub(super) rollups: BTreeMap<Slot, Arc<Rollups>>,
    pub(super) changes: VecDeque<(Arc<str>, Changed)>,
    /// By check and id, as they are now.
    pub(super) incidents: BTreeMap<(Arc<str>, u64), Period>,
    /// Statuses of checks that changed; `None` of those that were removed.
    pub(super) statuses: HashMap<Arc<str>, StatusSince>,
    pub(super) service: Option<(ServiceStatus, Millis)>,
    /// What heartbeat checks have heard, by check.
    pub(super) heartbeats: HashMap<Arc<str>, Arc<str>>,
    /// Bytes of single runs, over all checks.
    pub(super) raw: usize,
    /// Key of the row that those runs are written to, until they are acknowledged.
    pub(super) raw_key: Millis,
    /// Runs and changes that were folded in and not acknowledged.
    pub(super) records: u64,
    /// Roll-ups, changes and incidents dropped since this was last read.
    dropped: u64,
}

impl Pending {
    /// Adds to a roll-up whose period has ended.
    pub(super) fn add(&mut self, slot: Slot, check: &Arc<str>, rollup: &Rollup) {
        let rollups = self.rollups.entry(slot).or_default();
        // A flush with the old values does not acknowledge the new ones.
        Arc::make_mut(rollups).entry(Arc::clone(check)).or_default().merge(rollup);
    }

    /// Adds a status change.
    pub(super) fn change(&mut self, check: &Arc<str>, change: Changed) {
        self.changes.push_back((Arc::clone(check), change));
    }

    /// Adds what became of an incident.
    pub(super) fn incident(&mut self, check: &Arc<str>, period: Period) {
        self.incidents.insert((Arc::clone(check), period.id), period);
    }

    /// Names of the checks that something waits of.
    pub(super) fn checks(&self) -> HashSet<Arc<str>> {
        let rollups = self.rollups.values().flat_map(|rollups| rollups.keys());
        let changes = self.changes.iter().map(|(check, _)| check);
        let incidents = self.incidents.keys().map(|(check, _)| check);
        rollups.chain(changes).chain(incidents).chain(self.statuses.keys()).cloned().collect()
    }

    /// Whether something waits that should be written within a second.
    pub(super) fn is_urgent(&self) -> bool {
        !self.changes.is_empty()
            || !self.incidents.is_empty()
            || !self.statuses.is_empty()
            || !self.heartbeats.is_empty()
    }

    /// Drops the oldest data beyond the limits: single runs first, because the roll-ups contain
    /// them, and minutes before hours and days. Returns whether single runs must be dropped.
    pub(super) fn bound(&mut self) -> bool {
        let mut rollups: usize = self.rollups.values().map(|r| r.len()).sum();
        while rollups > MAX_ROLLUPS
            && let Some((_, given_up)) = self.rollups.pop_first()
        {
            rollups -= given_up.len();
            self.dropped += given_up.len() as u64;
        }
        while self.changes.len() > MAX_CHANGES {
            self.changes.pop_front();
            self.dropped += 1;
        }
        while self.incidents.len() > MAX_CHANGES
            && let Some(oldest) =
                self.incidents.iter().min_by_key(|(_, p)| p.start).map(|(key, _)| key.clone())
        {
            self.incidents.remove(&oldest);
            self.dropped += 1;
        }
        self.raw > MAX_RAW
    }

    /// Number of records dropped since this was last read.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::rollup::Counts;

    #[test]
    fn beyond_the_bound_the_oldest_minutes_go_first_and_are_counted() {
        let mut pending = Pending::default();
        let day = Rollup::from(Counts { runs: 1, ..Counts::default() });
        let names: Vec<Arc<str>> = (0..10_000).map(|i| format!("check-{i}").into()).collect();
        pending.add((Width::Day, 0), &names[0], &day);
        for minute in 0..5 {
            for name in &names {
                pending.add((Width::Minute, minute * 60_000), name, &day);
            }
        }
        assert!(!pending.bound());
        assert_eq!(pending.take_dropped(), 10_000);
        let slots: Vec<Slot> = pending.rollups.keys().copied().collect();
        assert_eq!(slots[0], (Width::Minute, 60_000));
        assert_eq!(slots[4], (Width::Day, 0));
    }
}
