//! [`Sink`]: receives everything that happens to checks, as [`Event`]s.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Calls, CheckInfo, Run, ServiceStatus, SkipReason, Status, Transition};

/// An event of a check, for sinks.
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
        /// Whether the check is in a maintenance window; then the run does not change availability.
        maintenance: bool,
    },
    /// Observed calls of the host, none of which changed the status.
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

/// A receiver of everything that happens to checks.
///
/// It is called while the check is locked: it must return at once (update atomics, or push to a
/// bounded queue and count what does not fit) and must not call back. If it panics, it still gets
/// the next event.
pub trait Sink: Send + Sync {
    /// Receives `event` of the check `info`.
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>);

    /// Receives the service's status, which has been `status` since `since`; called when it
    /// changes. By default it is ignored.
    fn service(&self, status: ServiceStatus, since: SystemTime) {
        let _ = (status, since);
    }
}

/// Calls a sink and catches its panic, which would otherwise end the check's task.
///
/// The process's panic hook has already reported it.
pub(crate) fn catch_sink_panic(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        // Dropping the payload may panic, too.
        forget(payload);
    }
}
