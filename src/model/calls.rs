//! Totals of the host's observed calls since the last `Event::Observed`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Outcome, Reason, Run, Status};

/// Slots per octave, as a power of two: a duration has an error of at most 1.6 %.
const FINE: u32 = 5;

/// Octaves of microseconds up to 2^36, which are 19 hours; what is longer counts as that.
const OCTAVES: u32 = 36;

const SLOTS: usize = ((OCTAVES - FINE + 1) << FINE) as usize;

/// Counts by duration, as an HDR histogram keeps them: exact up to 32 µs, then 32 slots an octave.
type Slots = [u32; SLOTS];

/// The calls to one dependency that a host observed since the last event of this sort, none of
/// which changed the status of the check.
///
/// It is sent at most once a second, and before any other event that it must precede, so that a
/// call costs the same however many sinks there are. A call that changes the status is sent on its
/// own, as [`Event::Run`](super::Event::Run).
#[derive(Clone)]
pub struct Calls {
    status: Status,
    maintenance: bool,
    outcomes: [u64; Outcome::ALL.len()],
    failures: [u64; Reason::ALL.len()],
    /// Histograms by outcome; each is created at the first call with the outcome, and reused.
    durations: [Option<Box<Slots>>; Outcome::ALL.len()],
    longest: Duration,
    last_good: Option<Instant>,
    last_other: Option<(Instant, Arc<Run>)>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("status", &self.status)
            .field("maintenance", &self.maintenance)
            .field("outcomes", &self.outcomes)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            status: Status::Unknown,
            maintenance: false,
            outcomes: [0; Outcome::ALL.len()],
            failures: [0; Reason::ALL.len()],
            durations: [const { None }; Outcome::ALL.len()],
            longest: Duration::ZERO,
            last_good: None,
            last_other: None,
        }
    }
}

impl Calls {
    /// Status of the check during all of them.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Whether the check was in a maintenance window, whose calls leave availability alone.
    #[must_use]
    pub const fn maintenance(&self) -> bool {
        self.maintenance
    }

    /// How many had this outcome.
    #[must_use]
    pub const fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many failed for this reason.
    #[must_use]
    pub const fn failures(&self, reason: Reason) -> u64 {
        self.failures[reason as usize]
    }

    /// The longest that one of them took.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// Counts by outcome and rising duration; durations have an error of at most 1.6 %.
    pub fn durations(&self) -> impl Iterator<Item = (Outcome, Duration, u32)> {
        Outcome::ALL.iter().flat_map(|outcome| {
            let none = self.count(*outcome) == 0;
            let slots = self.durations[*outcome as usize].as_deref().filter(|_| !none);
            let counts = slots.into_iter().flatten().zip(0..).filter(|(count, _)| **count > 0);
            counts.map(|(count, slot)| (*outcome, middle(slot).min(self.longest), *count))
        })
    }

    /// When the newest good one started.
    #[must_use]
    pub const fn last_good(&self) -> Option<Instant> {
        self.last_good
    }

    /// The newest call that was not a success, and when it started.
    #[must_use]
    pub fn last_other(&self) -> Option<(Instant, &Run)> {
        self.last_other.as_ref().map(|(started, run)| (*started, &**run))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outcomes.iter().all(|count| *count == 0)
    }

    /// Adds one that ended at `now`.
    pub(crate) fn add(
        &mut self,
        outcome: Outcome,
        reason: Option<Reason>,
        duration: Duration,
        now: Instant,
    ) {
        self.outcomes[outcome as usize] += 1;
        if let Some(reason) = reason {
            self.failures[reason as usize] += 1;
        }
        let fresh = || Box::new([0; SLOTS]);
        let slots = self.durations[outcome as usize].get_or_insert_with(fresh);
        let count = &mut slots[slot(duration)];
        *count = count.saturating_add(1);
        self.longest = self.longest.max(duration);
        if outcome.is_good() {
            self.last_good = Some(now.checked_sub(duration).unwrap_or(now));
        }
    }

    /// Records `run`, which was added last, as the newest call that was not a success.
    pub(crate) fn note(&mut self, run: &Arc<Run>, now: Instant) {
        let started = now.checked_sub(run.duration).unwrap_or(now);
        self.last_other = Some((started, Arc::clone(run)));
    }

    /// Sets the status under which they came, before they are sent.
    pub(crate) const fn under(&mut self, status: Status, maintenance: bool) {
        self.status = status;
        self.maintenance = maintenance;
    }

    /// Empties it after it was sent, and keeps its capacity.
    pub(crate) fn clear(&mut self) {
        for (count, slots) in self.outcomes.iter_mut().zip(&mut self.durations) {
            if std::mem::take(count) > 0
                && let Some(slots) = slots
            {
                slots.fill(0);
            }
        }
        self.failures = [0; Reason::ALL.len()];
        self.longest = Duration::ZERO;
        self.last_good = None;
        self.last_other = None;
    }
}

fn slot(duration: Duration) -> usize {
    let longest = (1 << OCTAVES) - 1;
    let micros = u64::try_from(duration.as_micros()).map_or(longest, |micros| micros.min(longest));
    let octave = (micros | 1).ilog2().saturating_sub(FINE);
    let within = usize::try_from(micros >> octave).unwrap_or(0);
    ((octave as usize) << FINE) + within
}

/// The middle of what a slot holds.
fn middle(slot: u32) -> Duration {
    let octave = (slot >> FINE).saturating_sub(1);
    let within = u64::from(slot - (octave << FINE));
    let width = 1_u64 << octave;
    Duration::from_micros((within << octave) + width / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_told_is_forgotten() {
        let mut calls = Calls::default();
        let now = Instant::now();
        calls.add(Outcome::Success, None, Duration::from_millis(3), now);
        calls.add(Outcome::Failure, Some(Reason::Other), Duration::from_millis(5), now);
        assert_eq!(calls.durations().map(|(_, _, count)| count).sum::<u32>(), 2);
        assert_eq!((calls.failures(Reason::Other), calls.longest().as_millis()), (1, 5));
        calls.clear();
        assert!(calls.is_empty() && calls.durations().next().is_none());
        assert_eq!((calls.failures(Reason::Other), calls.longest()), (0, Duration::ZERO));
        assert!(calls.last_good().is_none());
    }

    #[test]
    fn slots_follow_each_other_without_a_gap() {
        let mut last = slot(Duration::ZERO);
        assert_eq!(last, 0);
        for micros in 1..100_000 {
            let next = slot(Duration::from_micros(micros));
            assert!(next == last || next == last + 1, "{micros} µs are in {next} after {last}");
            last = next;
        }
        assert_eq!(slot(Duration::MAX), SLOTS - 1);
    }

    proptest! {
        #[test]
        fn a_duration_is_off_by_a_sixtieth_at_most(micros in 0u64..1 << 36) {
            let mut calls = Calls::default();
            let duration = Duration::from_micros(micros);
            calls.add(Outcome::Success, None, duration, Instant::now());
            // The longest is known as it was, so another one is the longest.
            calls.add(Outcome::Success, None, Duration::MAX, Instant::now());
            let (_, shown, _) = calls.durations().next().expect("it was added");
            let off = shown.as_secs_f64() - duration.as_secs_f64();
            prop_assert!(off.abs() <= duration.as_secs_f64() / 62.0, "{shown:?} for {duration:?}");
        }
    }
}
