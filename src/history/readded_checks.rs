//! Checks that were removed, and may be added again.
//!
//! A removed check keeps no memory: its data is written, including the current periods, and then
//! dropped. If the check is added again, its data is loaded from the store, as after a restart, so
//! that the values of those periods are complete.

use std::sync::Arc;

use super::aggregates::{Aggregate, Aggregates};
use super::rollup::{Counts, Millis, Rollup, Width};

impl Aggregates {
    /// Adds a roll-up that the store has of a check that was removed and is back. The current
    /// hour and day are put together from their parts, as after a restart.
    pub(super) fn add_past(
        &mut self,
        width: Width,
        start: Millis,
        check: &Arc<str>,
        rollup: &Rollup,
    ) {
        let (hour, day) = (Width::Hour.floor(self.minute), Width::Day.floor(self.minute));
        let Counts { slo_good: good, slo_counted: counted, .. } = rollup.counts;
        let rings = &mut self.aggregate(check).rings;
        match width {
            Width::Minute => {
                rings.minutes.add(start, good, counted);
                if start >= hour {
                    rings.quarters.add(start, good, counted);
                    rings.four_hours.add(start, good, counted);
                    self.add(Width::Hour, hour, check, rollup);
                    self.add(Width::Day, day, check, &rollup.counts.into());
                }
            }
            Width::Hour if start < hour => {
                rings.quarters.spread(start, width.millis(), good, counted);
                if start >= day {
                    rings.four_hours.add(start, good, counted);
                    self.add(Width::Day, day, check, &rollup.counts.into());
                }
            }
            Width::Day if start < day => {
                rings.four_hours.spread(start, width.millis(), good, counted);
            }
            Width::Hour | Width::Day => return,
        }
        // A row contains its whole period, so data in memory is completed by what was written.
        let waiting = self.pending.rollups.get(&(width, start));
        let waits = waiting.is_some_and(|rollups| rollups.contains_key(check));
        if waits || (width == Width::Minute && start == self.minute) {
            self.add(width, start, check, rollup);
        }
    }

    /// Whether the past of `check` must still be loaded from the store.
    pub(super) fn lacks_past(&self, check: &str) -> bool {
        self.of.get(check).is_some_and(|aggregate| !aggregate.past_known)
    }

    /// Takes over the ids of checks whose past is in here.
    pub(super) fn know(&mut self, ids: impl IntoIterator<Item = (Arc<str>, i64)>) {
        let known = Arc::make_mut(&mut self.ids);
        for (check, id) in ids {
            if let Some(aggregate) = self.of.get_mut(&check) {
                aggregate.past_known = true;
            }
            known.insert(check, id);
        }
    }

    /// Forgets the checks that were removed and that the store has all of: `written` are those,
    /// each with what its day was then.
    pub(super) fn forget_removed(&mut self, written: &[(Arc<str>, Counts)]) {
        if written.is_empty() && self.ids.len() <= self.of.len() {
            return;
        }
        let waiting = self.pending.checks();
        for (check, day) in written {
            let done = |aggregate: &Aggregate| {
                aggregate.removed && aggregate.raw.is_empty() && aggregate.day == *day
            };
            if self.of.get(check).is_some_and(done) && !waiting.contains(check) {
                self.of.remove(check);
            }
        }
        let of = &self.of;
        Arc::make_mut(&mut self.ids).retain(|c, _| of.contains_key(c) || waiting.contains(c));
    }
}
