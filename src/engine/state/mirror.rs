//! What shows the series of a state elsewhere than on its own page.
//!
//! A mirror is told under the lock of what has changed, so that it sees the changes in their
//! order. Each call must return at once and must not call back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Cell, Tally};
use crate::model::CheckInfo;

/// Shows the service's series, and starts to show those of checks.
pub(crate) trait Mirror: Send + Sync {
    /// Starts to show the check `info`, of which nothing is known yet.
    fn check(&self, info: &Arc<CheckInfo>) -> Box<dyn CheckMirror>;

    /// Shows that the plan has so many checks.
    fn checks(&self, count: usize);

    /// Shows the service's status and what the probes answer.
    fn service(&self, tally: &Tally);

    /// Counts the time from due to start of a run.
    fn delayed(&self, delay: Duration);

    /// Shows nothing more of the service.
    fn withdraw(&self);
}

/// Shows the series of one check.
pub(crate) trait CheckMirror: fmt::Debug + Send {
    /// Goes on as `info`, under the same name.
    fn follow(&mut self, info: &Arc<CheckInfo>);

    /// Counts the duration of a run.
    fn ran(&mut self, duration: Duration);

    /// Shows what `cell` holds.
    fn show(&mut self, cell: &Cell);

    /// Shows what a run of `cell` changes that leaves the status alone, and has no phases and
    /// measurements.
    fn count(&mut self, cell: &Cell);

    /// Shows whether a dependency of the check is down.
    fn suppressed(&mut self, suppressed: bool);

    /// Shows nothing more of the check.
    fn withdraw(&mut self);
}
