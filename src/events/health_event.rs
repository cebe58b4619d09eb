//! The events that a subscriber gets.

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::{CheckInfo, ServiceStatus, Transition};

/// Something that happened to the service or to a check of it, as
/// [`Health::subscribe`](crate::Health::subscribe) yields it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HealthEvent {
    /// A check changed its status.
    Check(StatusChange),
    /// The service changed its status. It follows the change of the check that made it.
    Service(ServiceChange),
    /// A maintenance window of a check began or ended.
    Maintenance(MaintenanceChange),
    /// A check was removed from the plan; no more events of it follow.
    Removed(Arc<CheckInfo>),
}

/// A change of a check's status.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatusChange {
    /// The check.
    pub check: Arc<CheckInfo>,
    /// What changed, when and why.
    pub transition: Transition,
    /// Whether it is the first status of the check since this [`Health`](crate::Health) was built or
    /// the check was added: what was before is not known, so that `up` is no recovery.
    pub first: bool,
    /// A dependency of the check that was down at that moment and explains the change.
    pub suppressed_by: Option<Arc<str>>,
    /// Whether the check was in a maintenance window at that moment.
    pub maintenance: bool,
}

/// A change of the service's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceChange {
    /// Status before; `starting` at first.
    pub from: ServiceStatus,
    /// Status after.
    pub to: ServiceStatus,
    /// Since when it has that status: the moment of the change, or earlier when the history knows
    /// that it had it before this process.
    pub since: SystemTime,
    /// Whether it is the first status after the start.
    pub first: bool,
}

/// The begin or the end of a check's maintenance.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MaintenanceChange {
    /// The check.
    pub check: Arc<CheckInfo>,
    /// Whether the check is in maintenance from now on.
    pub maintenance: bool,
}
