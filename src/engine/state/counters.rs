//! The counters of one check, and the histogram of its durations.

use std::time::{Duration, SystemTime};

use crate::model::{Outcome, Reason, SkipReason, Status, Trace};

/// Upper bounds of every duration histogram, in seconds; one more bucket takes the rest.
pub const BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const SLOTS: usize = BUCKETS.len() + 1;

/// An exemplar: a value of a histogram's bucket with its trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) value: f64,
    pub(crate) trace: Trace,
    pub(crate) at: SystemTime,
}

/// Counts by bucket, not cumulative.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    pub(crate) counts: [u64; SLOTS],
    pub(crate) sum: f64,
    /// Boxed when the first trace is kept: most checks of a large plan never have one.
    pub(crate) exemplars: Option<Box<[Option<Exemplar>; SLOTS]>>,
}

impl Histogram {
    /// Counts `duration`, leaving `trace` as its bucket's exemplar when it is kept.
    pub(crate) fn record(&mut self, duration: Duration, kept: Option<Trace>, at: SystemTime) {
        let value = duration.as_secs_f64();
        let slot = BUCKETS.partition_point(|bound| *bound < value);
        self.counts[slot] += 1;
        self.sum += value;
        if let Some(trace) = kept {
            let exemplars = self.exemplars.get_or_insert_with(|| Box::new([None; SLOTS]));
            exemplars[slot] = Some(Exemplar { value, trace, at });
        }
    }
}

/// All counters of a check.
#[derive(Debug, Clone)]
pub(crate) struct CheckCounters {
    pub(crate) durations: Histogram,
    pub(crate) outcomes: [u64; Outcome::ALL.len()],
    pub(crate) slo_good: u64,
    pub(crate) slo_bad: u64,
    pub(crate) failures: [u64; Reason::ALL.len()],
    pub(crate) transitions: [u64; Status::ALL.len()],
    pub(crate) skipped: [u64; SkipReason::ALL.len()],
}

impl Default for CheckCounters {
    fn default() -> Self {
        Self {
            durations: Histogram::default(),
            outcomes: [0; Outcome::ALL.len()],
            slo_good: 0,
            slo_bad: 0,
            failures: [0; Reason::ALL.len()],
            transitions: [0; Status::ALL.len()],
            skipped: [0; SkipReason::ALL.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 30_000, 31_000] {
            histogram.record(Duration::from_millis(millis), None, SystemTime::UNIX_EPOCH);
        }
        assert_eq!(histogram.counts[1], 1, "0.001 is le=0.001");
        assert_eq!(histogram.counts[2], 1);
        assert_eq!(histogram.counts[14], 1, "30 is le=30");
        assert_eq!(histogram.counts[15], 1, "31 is le=+Inf");
        assert!((histogram.sum - 61.003).abs() < 1e-9);
        assert!(histogram.exemplars.is_none());
    }

    #[test]
    fn a_kept_trace_becomes_the_exemplar_of_its_bucket() {
        let mut histogram = Histogram::default();
        let trace = Trace { trace_id: 7, span_id: 8, sampled: false };
        histogram.record(Duration::from_millis(3), Some(trace), SystemTime::UNIX_EPOCH);
        let exemplars = histogram.exemplars.expect("a trace was kept");
        assert_eq!(exemplars[3].expect("its bucket").trace, trace);
        assert_eq!(exemplars.iter().flatten().count(), 1);
    }
}
