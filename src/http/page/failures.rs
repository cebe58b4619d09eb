//! Why runs of a check failed, in the range of its page: runs below the threshold too, which change
//! no status and still lower the availability.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::text::Moment;
use super::view::Cx;
use crate::history::Step;
use crate::model::Reason;

/// How many runs failed for a reason.
pub(super) struct FailureRow {
    pub(super) reason: Reason,
    pub(super) runs: u64,
    /// Start of the newest step that has one.
    pub(super) last: Moment,
}

/// The reasons in `steps`, the most frequent first; none without the right to details.
pub(super) fn failures(steps: &[Step], cx: &Cx<'_>) -> Vec<FailureRow> {
    if !cx.details {
        return Vec::new();
    }
    let mut counted = BTreeMap::<Reason, (u64, SystemTime)>::new();
    for step in steps {
        for (reason, runs) in &step.reasons {
            let (sum, last) = counted.entry(*reason).or_insert((0, step.at));
            *sum += runs;
            *last = step.at.max(*last);
        }
    }
    let row = |(reason, (runs, last))| FailureRow { reason, runs, last: cx.moment(last) };
    let mut rows: Vec<FailureRow> = counted.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.runs));
    rows
}
