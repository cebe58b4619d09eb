//! Turns outcomes into a status, with thresholds: a pure function over a check's runs.
//!
//! The first run decides alone: after a start, while the status is unknown, and after a reload that
//! changed the check. Later, `failure_threshold` failed runs in a row turn the check down, and
//! `success_threshold` good runs in a row bring it back.

use crate::model::{Outcome, Status};

/// How many runs in a row it takes to change a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    pub(crate) failure: u32,
    pub(crate) success: u32,
}

/// A check's status and its streaks.
///
/// Streaks count outcomes, whatever the status. So two alternating outcomes never reach a threshold
/// above 1, and the status does not flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusTracker {
    status: Status,
    /// Whether the status is that of the check before a reload changed it, kept until the first run.
    inherited: bool,
    /// Runs in a row that were failures or timeouts.
    failed: u32,
    /// Runs in a row that were not successes: warnings, failures or timeouts.
    unsuccessful: u32,
    /// Runs in a row that were successes or warnings.
    good: u32,
    /// Runs in a row that were successes.
    successful: u32,
}

impl Default for StatusTracker {
    fn default() -> Self {
        Self {
            status: Status::Unknown,
            inherited: false,
            failed: 0,
            unsuccessful: 0,
            good: 0,
            successful: 0,
        }
    }
}

impl StatusTracker {
    pub(crate) const fn status(&self) -> Status {
        self.status
    }

    pub(crate) const fn consecutive_failures(&self) -> u32 {
        self.failed
    }

    /// Adds one outcome and returns the status before it.
    pub(crate) fn apply(&mut self, outcome: Outcome, thresholds: Thresholds) -> Status {
        let before = self.status;
        if outcome == Outcome::Unknown {
            return before;
        }
        self.count(outcome);
        self.status = match before {
            Status::Unknown => outcome.status(),
            _ if self.inherited => outcome.status(),
            _ if self.failed >= thresholds.failure => Status::Down,
            Status::Down if self.good >= thresholds.success => outcome.status(),
            Status::Up if self.unsuccessful >= thresholds.failure => Status::Degraded,
            Status::Degraded if self.successful >= thresholds.success => Status::Up,
            unchanged => unchanged,
        };
        self.inherited = false;
        before
    }

    /// Makes `status` the status, with no streak behind it.
    pub(crate) fn set(&mut self, status: Status) {
        *self = Self { status, ..Self::default() };
    }

    /// Sets the status to unknown because no run ended for too long; returns the status before.
    pub(crate) fn go_stale(&mut self) -> Status {
        std::mem::replace(&mut self.status, Status::Unknown)
    }

    /// The same status without streaks; the next good or failed run decides alone.
    pub(crate) fn inherited(self) -> Self {
        Self { status: self.status, inherited: true, ..Self::default() }
    }

    fn count(&mut self, outcome: Outcome) {
        let streak = |streak: &mut u32, goes_on: bool| {
            *streak = if goes_on { streak.saturating_add(1) } else { 0 };
        };
        streak(&mut self.failed, outcome.is_failed());
        streak(&mut self.unsuccessful, outcome != Outcome::Success);
        streak(&mut self.good, outcome.is_good());
        streak(&mut self.successful, outcome == Outcome::Success);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: Thresholds = Thresholds { failure: 3, success: 1 };

    /// Folds a text of outcomes, `s w f t u`, and returns the statuses after each, `U D X ?`.
    fn fold(outcomes: &str, thresholds: Thresholds) -> String {
        let mut fold = StatusTracker::default();
        outcomes
            .chars()
            .map(|c| {
                fold.apply(outcome(c), thresholds);
                match fold.status() {
                    Status::Up => 'U',
                    Status::Degraded => 'D',
                    Status::Down => 'X',
                    Status::Unknown => '?',
                }
            })
            .collect()
    }

    fn outcome(c: char) -> Outcome {
        match c {
            's' => Outcome::Success,
            'w' => Outcome::Warning,
            'f' => Outcome::Failure,
            't' => Outcome::Timeout,
            'u' => Outcome::Unknown,
            _ => unreachable!("no such outcome: {c}"),
        }
    }

    #[test]
    fn the_first_run_decides() {
        for (runs, statuses) in [("s", "U"), ("w", "D"), ("f", "X"), ("t", "X"), ("uf", "?X")] {
            assert_eq!(fold(runs, DEFAULT), statuses, "{runs}");
        }
    }

    #[test]
    fn failures_in_a_row_make_it_down_and_a_good_run_brings_it_back() {
        assert_eq!(fold("sfff", DEFAULT), "UUUX");
        assert_eq!(fold("sftfs", DEFAULT), "UUUXU");
        assert_eq!(fold("sfffw", DEFAULT), "UUUXD");
    }

    #[test]
    fn coming_back_takes_the_success_threshold() {
        let slow = Thresholds { failure: 2, success: 3 };
        assert_eq!(fold("fssfsss", slow), "XXXXXXU");
        assert_eq!(fold("fssw", slow), "XXXD");
    }

    #[test]
    fn warnings_degrade_after_the_failure_threshold_and_successes_lift() {
        assert_eq!(fold("swwws", DEFAULT), "UUUDU");
        let slow = Thresholds { failure: 2, success: 2 };
        assert_eq!(fold("swwsws", slow), "UUDDDD");
        assert_eq!(fold("swwss", slow), "UUDDU");
    }

    #[test]
    fn a_mixed_streak_degrades_and_turns_down_once_all_of_it_failed() {
        assert_eq!(fold("swff", DEFAULT), "UUUD");
        assert_eq!(fold("swfff", DEFAULT), "UUUDX");
        assert_eq!(fold("wfff", DEFAULT), "DDDX");
    }

    #[test]
    fn unknown_runs_change_nothing_and_break_no_streak() {
        assert_eq!(fold("sfuff", DEFAULT), "UUUUX");
        assert_eq!(fold("suuuuu", DEFAULT), "UUUUUU");
    }

    #[test]
    fn staleness_forgets_the_status_and_the_next_run_decides() {
        let mut fold = StatusTracker::default();
        fold.apply(Outcome::Success, DEFAULT);
        assert_eq!(fold.go_stale(), Status::Up);
        assert_eq!(fold.status(), Status::Unknown);
        fold.apply(Outcome::Failure, DEFAULT);
        assert_eq!(fold.status(), Status::Down);
    }

    #[test]
    fn an_inherited_status_lasts_until_the_first_run_that_counts() {
        let mut fold = StatusTracker::default();
        fold.apply(Outcome::Success, DEFAULT);
        let mut fold = fold.inherited();
        fold.apply(Outcome::Unknown, DEFAULT);
        assert_eq!((fold.status(), fold.consecutive_failures()), (Status::Up, 0));
        fold.apply(Outcome::Failure, DEFAULT);
        assert_eq!(fold.status(), Status::Down);
        fold.apply(Outcome::Success, DEFAULT);
        fold.apply(Outcome::Failure, DEFAULT);
        assert_eq!(fold.status(), Status::Up, "thresholds count from then on");
    }

    proptest! {
        #[test]
        fn alternating_outcomes_never_flap(a in "[swft]", b in "[swft]", failure in 2u32..5, success in 2u32..5) {
            let runs: String = (0..40).map(|i| if i % 2 == 0 { a.as_str() } else { b.as_str() }).collect();
            let statuses = fold(&runs, Thresholds { failure, success });
            let changes = statuses.as_bytes().windows(2).filter(|w| w[0] != w[1]).count();
            prop_assert!(changes <= 1, "{runs}: {statuses}");
        }

        #[test]
        fn down_needs_the_failure_threshold_in_a_row_once_there_was_a_status(
            runs in "[swftu]{1,60}", failure in 1u32..5, success in 1u32..5,
        ) {
            let statuses = fold(&runs, Thresholds { failure, success });
            let mut row = 0;
            for (i, (run, status)) in runs.chars().zip(statuses.chars()).enumerate() {
                match run { 'f' | 't' => row += 1, 'u' => {}, _ => row = 0 }
                let before = if i == 0 { '?' } else { statuses.as_bytes()[i - 1] as char };
                if status == 'X' && before != 'X' && before != '?' {
                    prop_assert!(row >= failure, "{runs}: {statuses} at {i}");
                }
                if row >= failure { prop_assert_eq!(status, 'X'); }
            }
        }
    }
}
