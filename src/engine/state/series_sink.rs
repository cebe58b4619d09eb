//! The trait of a sink for the series of a state, for hosts that show them in their own recorder.
//!
//! The state calls a sink while the changed check is locked, so that the sink sees changes in
//! their order. Each call must return at once and must not call back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Cell, ServiceCounts};
use crate::model::CheckInfo;

/// Receives the series of the service, and creates a sink for those of each check.
pub(crate) trait SeriesSink: Send + Sync {
    /// Starts the series of the check `info`, which has not run yet.
    fn check(&self, info: &Arc<CheckInfo>) -> Box<dyn CheckSeriesSink>;

    /// Sets the number of checks in the plan.
    fn checks(&self, count: usize);

    /// Sets the service's status and what the probes answer.
    fn service(&self, tally: &ServiceCounts);

    /// Counts the time from due to start of a run.
    fn delayed(&self, delay: Duration);

    /// Ends the series of the service.
    fn withdraw(&self);
}

/// Receives the series of one check.
pub(crate) trait CheckSeriesSink: fmt::Debug + Send {
    /// Continues with `info`, which has the same name.
    fn follow(&mut self, info: &Arc<CheckInfo>);

    /// Counts the duration of a run.
    fn ran(&mut self, duration: Duration);

    /// Sets every series to the values in `cell`.
    fn show(&mut self, cell: &Cell);

    /// Sets only the series that change if a run does not change the status and has neither phases
    /// nor measurements.
    fn count(&mut self, cell: &Cell);

    /// Sets whether a dependency of the check is down.
    fn suppressed(&mut self, suppressed: bool);

    /// Ends the series of the check.
    fn withdraw(&mut self);
}
