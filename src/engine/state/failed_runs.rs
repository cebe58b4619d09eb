//! One log line an hour for each reason for which runs of a check fail without making it down.
//!
//! Such runs lower the availability and change nothing else that is logged. The line says why. A run
//! that changes the status has a line of its own, and so has the status while the check is down. A run
//! in maintenance lowers nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{CheckInfo, Reason, Run, Status, log_targets};

/// Time from one line of a check and reason to the next.
const PAUSE: Duration = Duration::from_hours(1);

/// When the last line of each reason was logged, and how many runs failed for it since. It takes no
/// memory until a run fails.
#[derive(Debug, Clone, Default)]
pub(super) struct FailedRuns(Vec<(Reason, Instant, u32)>);

/// What a line says beside the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailedRun {
    /// Runs that failed for the reason since the last line, this one included.
    pub(super) runs: u32,
    pub(super) status: Status,
    pub(super) in_a_row: u32,
}

impl FailedRuns {
    /// Counts a run that failed for `reason`; returns how many there were when a line is due.
    pub(super) fn count(&mut self, reason: Reason, now: Instant) -> Option<u32> {
        let Some((_, logged, runs)) = self.0.iter_mut().find(|(known, ..)| *known == reason) else {
            self.0.push((reason, now, 0));
            return Some(1);
        };
        *runs = runs.saturating_add(1);
        if now.saturating_duration_since(*logged) < PAUSE {
            return None;
        }
        *logged = now;
        Some(std::mem::take(runs))
    }
}

/// The line.
pub(super) fn log(info: &CheckInfo, run: &Run, failed: FailedRun) {
    tracing::info!(
        target: log_targets::CHECK,
        check = &*info.name,
        reason = run.reason.map(Reason::as_str),
        trace_id = run.trace.map(|trace| trace.trace_id_hex()),
        cause = run.message.as_deref(),
        status = failed.status.as_str(),
        failed_in_a_row = failed.in_a_row,
        failure_threshold = info.failure_threshold,
        runs = failed.runs,
        "a run failed; the status stays"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reason_has_a_line_an_hour_that_counts_what_came_since() {
        let mut failed = FailedRuns::default();
        let now = Instant::now();
        assert_eq!(failed.count(Reason::Timeout, now), Some(1));
        assert_eq!(failed.count(Reason::Other, now), Some(1), "another reason");
        assert_eq!(failed.count(Reason::Timeout, now), None);
        assert_eq!(failed.count(Reason::Timeout, now + PAUSE - Duration::from_secs(1)), None);
        assert_eq!(failed.count(Reason::Timeout, now + PAUSE), Some(3));
        assert_eq!(failed.count(Reason::Timeout, now + PAUSE), None);
    }
}
