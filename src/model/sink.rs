//! Who hears of everything that happens to checks.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Calls, CheckInfo, Run, ServiceStatus, SkipReason, Status, Transition};

/// What the recorder sends to its sinks.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A run ended, and the check's status is now `status`.
    Run {
        /// The run.
        run: &'a Run,
        /// Status after it.
        status: Status,
        /// Whether its trace is kept.
        trace_kept: bool,
        /// Whether the check is in a maintenance window, whose runs leave availability alone.
        maintenance: bool,
    },
    /// The host observed calls of its own, none of which changed the status.
    Observed(&'a Calls),
    /// The status changed, by a run or by staleness.
    Transition(&'a Transition),
    /// A due run was not started.
    Skipped(SkipReason),
    /// A maintenance window of the check begins or ends.
    Maintenance(bool),
    /// The check was removed from the plan.
    Removed,
}

/// A reader of everything that happens to checks.
///
/// It is called on the check path, with the check's entry locked: it must return at once (update
/// atomics, or push to a bounded queue and count what does not fit) and must not call back. If
/// it panics, it gets the next event all the same.
pub trait Sink: Send + Sync {
    /// Takes note of `event` of the check `info`.
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>);

    /// Takes note of the service's status, which has been `status` since `since`; called when it
    /// changes. By default it is ignored.
    fn service(&self, status: ServiceStatus, since: SystemTime) {
        let _ = (status, since);
    }
}

/// Calls a sink and catches its panic: it would end the check's task otherwise.
///
/// The process's panic hook has reported it by then.
pub(crate) fn spared(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        // It may panic once more as it goes.
        forget(payload);
    }
}
