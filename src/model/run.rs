//! [`Run`], the result of one run, and [`Transition`], a change of status.

use std::time::{Duration, SystemTime};

use super::check::Measurement;
use super::phase::Phase;
use super::vocabulary::{Outcome, Reason, Status};

/// The span of a run, by its identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes; shown as 32 hexadecimal digits.
    pub trace_id: u128,
    /// 8 bytes of the root span.
    pub span_id: u64,
    /// Whether the context that was sent to the dependency had the sampled flag.
    pub sampled: bool,
}

impl Trace {
    /// The trace id as 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span id as 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn span_id_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

/// One finished execution of a check: the only source of all data about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Wall-clock time of its start.
    pub at: SystemTime,
    /// From start to answer, connection included.
    pub duration: Duration,
    /// Its outcome.
    pub outcome: Outcome,
    /// Why it failed; set exactly when the outcome is neither success nor warning.
    pub reason: Option<Reason>,
    /// A text for people, without secrets: the cause of a failure, or the text of a warning.
    pub message: Option<String>,
    /// Its root span, where spans are recorded.
    pub trace: Option<Trace>,
    /// The phases it passed, in order.
    pub phases: Vec<(Phase, Duration)>,
    /// The kind's own measurements.
    pub measurements: Vec<(&'static Measurement, f64)>,
}

/// A change of a check's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Grows with every change, across restarts too as long as the clock does: microseconds since
    /// 1970, or one more than the last.
    pub id: u64,
    /// Status before.
    pub from: Status,
    /// Status after.
    pub to: Status,
    /// When it changed.
    pub at: SystemTime,
    /// Since when the check has this status: `at`, or earlier if the history shows that it had the
    /// status before this process.
    pub since: SystemTime,
    /// Reason of the run that made it, where one did.
    pub reason: Option<Reason>,
    /// Message of that run.
    pub message: Option<String>,
    /// Trace of that run.
    pub trace: Option<Trace>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_keep_their_leading_zeros() {
        let trace = Trace { trace_id: 0xab, span_id: 0xcd, sampled: true };
        assert_eq!(trace.trace_id_hex(), "000000000000000000000000000000ab");
        assert_eq!(trace.span_id_hex(), "00000000000000cd");
    }
}
