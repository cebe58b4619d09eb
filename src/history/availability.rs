//! Availability: shares of good runs over the last hour, day, week and month, in a few kilobytes
//! per check.

use std::collections::VecDeque;

use super::rollup::{Counts, Millis};
use super::{Availability, Share};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Slots that a ring grows by: doubling would waste up to half of its memory.
const GROWTH: usize = 16;

/// Good and counted runs by slots of `WIDTH` milliseconds, of the newest `SLOTS` of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring<const SLOTS: usize, const WIDTH: Millis> {
    slots: VecDeque<[u32; 2]>,
    /// Number of the last slot: its start ÷ `WIDTH`.
    newest: Millis,
}

impl<const SLOTS: usize, const WIDTH: Millis> Ring<SLOTS, WIDTH> {
    /// Adds runs that ended at `at`; data older than the ring is dropped.
    pub(super) fn add(&mut self, at: Millis, good: u32, counted: u32) {
        if counted == 0 {
            return;
        }
        let number = at.div_euclid(WIDTH);
        if self.slots.is_empty() {
            self.newest = number;
            self.push([0, 0]);
        }
        let ahead = number.saturating_sub(self.newest);
        if ahead >= i64::try_from(SLOTS).unwrap_or(i64::MAX) {
            self.slots.clear();
            self.newest = number;
            self.push([0, 0]);
        }
        while self.newest < number {
            if self.slots.len() == SLOTS {
                self.slots.pop_front();
            }
            self.push([0, 0]);
            self.newest += 1;
        }
        let Ok(age) = usize::try_from(self.newest - number) else { return };
        if age >= SLOTS {
            return;
        }
        while self.slots.len() <= age {
            self.reserve();
            self.slots.push_front([0, 0]);
        }
        let last = self.slots.len() - 1;
        if let Some([sum_good, sum_counted]) = self.slots.get_mut(last - age) {
            *sum_good = sum_good.saturating_add(good);
            *sum_counted = sum_counted.saturating_add(counted);
        }
    }

    /// Adds runs of the period of length `width` from `at` on, spread evenly.
    pub(super) fn spread(&mut self, at: Millis, width: Millis, good: u32, counted: u32) {
        let parts = u32::try_from(width / WIDTH).unwrap_or(1).max(1);
        // The first parts get the remainder, so that the sum stays the same.
        let part = |sum: u32, i: u32| sum / parts + u32::from(i < sum % parts);
        for i in 0..parts {
            self.add(at + i64::from(i) * WIDTH, part(good, i), part(counted, i));
        }
    }

    /// The sums of every slot that reaches into the `window` that ends now.
    fn sum(&self, now: Millis, window: Millis) -> Share {
        let first = now.saturating_sub(window).div_euclid(WIDTH);
        let numbers = (0..).map(|age| self.newest - age);
        let within = numbers.zip(self.slots.iter().rev()).take_while(|(n, _)| *n >= first);
        within.fold(Share::default(), |sum, (_, [good, counted])| Share {
            good: sum.good + u64::from(*good),
            counted: sum.counted + u64::from(*counted),
        })
    }

    fn push(&mut self, slot: [u32; 2]) {
        self.reserve();
        self.slots.push_back(slot);
    }

    fn reserve(&mut self) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(GROWTH.min(SLOTS + 1 - self.slots.len().min(SLOTS)));
        }
    }
}

/// The rings of one check. Each has one slot more than its window, for the current slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Rings {
    /// An hour of minutes.
    pub(super) minutes: Ring<61, MINUTE>,
    /// A day of quarters of an hour.
    pub(super) quarters: Ring<97, { HOUR / 4 }>,
    /// A month of four hours each.
    pub(super) four_hours: Ring<181, { 4 * HOUR }>,
}

impl Rings {
    pub(super) fn add(&mut self, at: Millis, counts: &Counts) {
        let Counts { slo_good, slo_counted, .. } = *counts;
        self.minutes.add(at, slo_good, slo_counted);
        self.quarters.add(at, slo_good, slo_counted);
        self.four_hours.add(at, slo_good, slo_counted);
    }

    pub(super) fn availability(&self, now: Millis) -> Availability {
        Availability {
            hour: self.minutes.sum(now, HOUR),
            day: self.quarters.sum(now, DAY),
            week: self.four_hours.sum(now, 7 * DAY),
            month: self.four_hours.sum(now, 30 * DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Millis = 1_789_000_000_000;

    #[test]
    fn a_window_holds_what_happened_in_it_and_nothing_much_older() {
        let mut rings = Rings::default();
        let one = Counts { slo_good: 1, slo_counted: 1, ..Counts::default() };
        for age in [40 * DAY, 29 * DAY, 6 * DAY, 23 * HOUR, 59 * MINUTE, 0] {
            rings.add(NOW - age, &one);
        }
        let counted = |a: Availability| [a.hour, a.day, a.week, a.month].map(|s| s.counted);
        assert_eq!(counted(rings.availability(NOW)), [2, 3, 4, 5]);
        assert_eq!(counted(rings.availability(NOW + 2 * HOUR)), [0, 2, 4, 5]);
        assert_eq!(counted(rings.availability(NOW + 60 * DAY)), [0, 0, 0, 0]);
    }

    #[test]
    fn what_is_loaded_late_finds_its_place() {
        let mut rings = Rings::default();
        rings.minutes.add(NOW, 0, 1);
        rings.minutes.add(NOW - 30 * MINUTE, 5, 6);
        rings.minutes.add(NOW - 30 * DAY, 5, 6);
        rings.quarters.spread(NOW - 2 * HOUR, HOUR, 7, 10);
        let shares = rings.availability(NOW);
        assert_eq!(shares.hour, Share { good: 5, counted: 7 });
        assert_eq!(shares.day, Share { good: 7, counted: 10 });
    }

    proptest! {
        #[test]
        fn a_ring_sums_the_slots_of_its_window(
            runs in prop::collection::vec((0i64..90 * MINUTE, any::<bool>()), 0..80),
        ) {
            let mut ring = Ring::<61, MINUTE>::default();
            for (at, good) in &runs {
                ring.add(*at, u32::from(*good), 1);
            }
            let now = runs.iter().map(|(at, _)| *at).max().unwrap_or(0);
            let first = (now - HOUR).div_euclid(MINUTE) * MINUTE;
            let within = runs.iter().filter(|(at, _)| *at >= first);
            let sum = within.fold(Share::default(), |sum, (_, good)| Share {
                good: sum.good + u64::from(*good), counted: sum.counted + 1,
            });
            prop_assert_eq!(ring.sum(now, HOUR), sum);
            prop_assert!(ring.slots.len() <= 61 && ring.slots.capacity() <= 64);
        }
    }
}
