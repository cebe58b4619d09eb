//! The feed's own copy of the status of each check. Events are described from this copy only,
//! because the cell of the event's check is locked, and no second cell may be locked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::health_event::{MaintenanceChange, ServiceChange, StatusChange};
use crate::model::{CheckInfo, ServiceStatus, Status, Transition};

/// The statuses and the maintenance of the checks, as of the last event.
#[derive(Debug)]
pub(super) struct Known {
    checks: HashMap<Arc<str>, KnownCheck>,
    service: ServiceStatus,
    started: bool,
}

#[derive(Debug, Default)]
struct KnownCheck {
    /// None before the first status.
    status: Option<Status>,
    maintenance: bool,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { checks: HashMap::new(), service: ServiceStatus::Starting, started: false }
    }

    /// Records a status change, and describes it.
    pub(super) fn transition(
        &mut self,
        check: &Arc<CheckInfo>,
        transition: &Transition,
    ) -> StatusChange {
        let down = |name: &&Arc<str>| {
            self.checks.get(*name).is_some_and(|known| known.status == Some(Status::Down))
        };
        let suppressed_by = check.depends_on.iter().find(down).cloned();
        let known = self.check(check);
        let first = known.status.replace(transition.to).is_none();
        StatusChange {
            check: Arc::clone(check),
            transition: transition.clone(),
            first,
            suppressed_by,
            maintenance: known.maintenance,
        }
    }

    /// Records that maintenance of a check begins or ends, and describes it.
    pub(super) fn maintain(
        &mut self,
        check: &Arc<CheckInfo>,
        maintenance: bool,
    ) -> MaintenanceChange {
        self.check(check).maintenance = maintenance;
        MaintenanceChange { check: Arc::clone(check), maintenance }
    }

    /// Records the service's status, and describes the change.
    pub(super) fn service(&mut self, to: ServiceStatus, since: SystemTime) -> ServiceChange {
        let from = std::mem::replace(&mut self.service, to);
        let first = !std::mem::replace(&mut self.started, true);
        ServiceChange { from, to, since, first }
    }

    /// Forgets a check.
    pub(super) fn remove(&mut self, check: &CheckInfo) {
        self.checks.remove(&check.name);
    }

    fn check(&mut self, check: &CheckInfo) -> &mut KnownCheck {
        self.checks.entry(Arc::clone(&check.name)).or_default()
    }
}
