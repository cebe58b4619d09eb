//! Roll-ups: sums over the runs of a minute, an hour or a day.

use std::time::{Duration, SystemTime};

use super::reasons::Reasons;
use super::sketch::Sketch;
use crate::model::{Outcome, Status};

/// Milliseconds since 1970, as the stores keep every time.
pub(super) type Millis = i64;

/// Converts to milliseconds since 1970.
pub(super) fn millis(at: SystemTime) -> Millis {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Converts a stored timestamp to `SystemTime`.
pub(super) fn time(at: Millis) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(at).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Length of a roll-up; all start at multiples of it since 1970, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Width {
    Minute,
    Hour,
    Day,
}

impl Width {
    pub(super) const fn millis(self) -> Millis {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// Start of the roll-up that `at` falls in.
    pub(super) const fn floor(self, at: Millis) -> Millis {
        at - at.rem_euclid(self.millis())
    }
}

/// Severity of a status: a period with several statuses is shown with the worst one.
///
/// Down is worse than unknown, and unknown is worse than degraded.
pub(super) const fn badness(status: Status) -> u8 {
    match status {
        Status::Up => 0,
        Status::Degraded => 1,
        Status::Unknown => 2,
        Status::Down => 3,
    }
}

/// The status of a [`badness`].
pub(super) fn of_badness(badness: i64) -> Option<Status> {
    Status::ALL.iter().copied().find(|status| i64::from(self::badness(*status)) == badness)
}

/// The worse of two, where there are any.
pub(super) fn worse(a: Option<Status>, b: Option<Status>) -> Option<Status> {
    a.into_iter().chain(b).max_by_key(|status| badness(*status))
}

/// The part of a finished run that the history keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryRun {
    /// When it ended.
    pub(super) at: Millis,
    pub(super) micros: u64,
    pub(super) outcome: Outcome,
    /// Status of the check after it.
    pub(super) status: Status,
    pub(super) maintenance: bool,
    /// Number of equal runs: observed calls are recorded together.
    pub(super) times: u32,
}

impl HistoryRun {
    /// Whether it counts for availability.
    pub(super) const fn counts(&self) -> bool {
        !self.maintenance && !matches!(self.outcome, Outcome::Unknown)
    }
}

/// Sums over runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) runs: u32,
    pub(super) good: u32,
    /// Good ones among those that count for availability.
    pub(super) slo_good: u32,
    pub(super) slo_counted: u32,
    pub(super) max_micros: u64,
    pub(super) worst: Option<Status>,
}

impl Counts {
    pub(super) fn of(run: &HistoryRun) -> Self {
        let of = |so: bool| if so { run.times } else { 0 };
        let good = run.outcome.is_good();
        Self {
            runs: run.times,
            good: of(good),
            slo_good: of(good && run.counts()),
            slo_counted: of(run.counts()),
            max_micros: run.micros,
            worst: Some(run.status),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.runs = self.runs.saturating_add(other.runs);
        self.good = self.good.saturating_add(other.good);
        self.slo_good = self.slo_good.saturating_add(other.slo_good);
        self.slo_counted = self.slo_counted.saturating_add(other.slo_counted);
        self.max_micros = self.max_micros.max(other.max_micros);
        self.worst = worse(self.worst, other.worst);
    }

    /// Whether there is anything to keep.
    pub(super) const fn is_empty(&self) -> bool {
        self.runs == 0 && self.worst.is_none()
    }
}

/// Sums over runs, and how long they took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rollup {
    pub(super) counts: Counts,
    /// Empty in that of a day, whose hours have it.
    pub(super) sketch: Sketch,
    /// Why those failed that did; empty in that of a day, likewise.
    pub(super) reasons: Reasons,
}

impl Rollup {
    pub(super) fn record(&mut self, run: &HistoryRun) {
        self.counts.merge(&Counts::of(run));
        self.sketch.record(run.micros, run.times);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.sketch.merge(&other.sketch);
        self.reasons.merge(&other.reasons);
    }
}

impl From<Counts> for Rollup {
    fn from(counts: Counts) -> Self {
        Self { counts, ..Self::default() }
    }
}

impl From<Reasons> for Rollup {
    fn from(reasons: Reasons) -> Self {
        Self { reasons, ..Self::default() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::history) fn ran(at: Millis, outcome: Outcome) -> HistoryRun {
        HistoryRun {
            at,
            micros: 4_000,
            outcome,
            status: outcome.status(),
            maintenance: false,
            times: 1,
        }
    }

    #[test]
    fn unknown_runs_and_those_in_maintenance_leave_availability_alone() {
        let mut rollup = Rollup::default();
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Unknown, Outcome::Warning] {
            rollup.record(&ran(0, outcome));
        }
        rollup.record(&HistoryRun { maintenance: true, ..ran(0, Outcome::Timeout) });
        rollup.record(&HistoryRun { maintenance: true, ..ran(0, Outcome::Success) });
        let Counts { runs, good, slo_good, slo_counted, worst, .. } = rollup.counts;
        assert_eq!((runs, good, slo_good, slo_counted), (6, 3, 2, 3));
        assert_eq!(worst, Some(Status::Down));
    }

    #[test]
    fn down_is_worse_than_unknown_and_unknown_worse_than_degraded() {
        let mut statuses = Status::ALL.to_vec();
        statuses.sort_by_key(|s| badness(*s));
        assert_eq!(statuses, [Status::Up, Status::Degraded, Status::Unknown, Status::Down]);
        for status in statuses {
            assert_eq!(of_badness(badness(status).into()), Some(status));
        }
        assert_eq!(of_badness(4), None);
    }

    #[test]
    fn a_time_survives_the_store_to_the_millisecond() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_789_000_000_123);
        assert_eq!(time(millis(at)), at);
        assert_eq!(time(-1), SystemTime::UNIX_EPOCH);
    }

    proptest! {
        #[test]
        fn rolling_up_in_parts_is_rolling_up_at_once(
            outcomes in prop::collection::vec((0usize..5, 1u64..1_000_000), 0..60), cut in 0usize..60,
        ) {
            let runs: Vec<HistoryRun> = outcomes
                .iter()
                .map(|(o, micros)| HistoryRun { micros: *micros, ..ran(0, Outcome::ALL[*o]) })
                .collect();
            let of = |runs: &[HistoryRun]| {
                let mut rollup = Rollup::default();
                for run in runs {
                    rollup.record(run);
                }
                rollup
            };
            let cut = cut.min(runs.len());
            let mut parts = of(&runs[..cut]);
            parts.merge(&of(&runs[cut..]));
            prop_assert_eq!(parts, of(&runs));
        }
    }
}
