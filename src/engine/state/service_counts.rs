//! Computes the service's status from counts: each check adds its [`CheckContribution`], and a change of one
//! check costs the same however many there are.
//!
//! `HealthState::answer` in `view.rs` computes the same rules for the checks of one probe, with
//! exclusions; change both together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::ServiceStatus;

/// What one check adds to the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "six independent facts, each counted")]
pub(crate) struct CheckContribution {
    pub(crate) not_up: bool,
    pub(crate) ready_failing: bool,
    pub(crate) ready_waiting: bool,
    pub(crate) health_failing: bool,
    pub(crate) startup_waiting: bool,
    pub(crate) not_run: bool,
}

/// The sums of all weights, and the status that follows from them.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "four latches, each with a life of its own")]
pub(crate) struct ServiceCounts {
    not_up: usize,
    ready_failing: usize,
    ready_waiting: usize,
    health_failing: usize,
    startup_waiting: usize,
    not_run: usize,
    /// The status before this process, and since when; kept until every check has run, because the
    /// status passes through other values meanwhile.
    before: Option<(ServiceStatus, SystemTime)>,
    /// Whether a plan was applied: before the first plan the service is not up just because there
    /// are no checks.
    planned: bool,
    live: bool,
    draining: bool,
    started: bool,
    status: ServiceStatus,
    since: SystemTime,
    groups: BTreeMap<Arc<str>, GroupSums>,
}

/// The sums of the checks of one group.
#[derive(Debug, Clone, Copy, Default)]
struct GroupSums {
    not_up: usize,
    ready_failing: usize,
    ready_waiting: usize,
}

impl ServiceCounts {
    pub(crate) fn new(now: SystemTime, before: Option<(ServiceStatus, SystemTime)>) -> Self {
        Self {
            not_up: 0,
            ready_failing: 0,
            ready_waiting: 0,
            health_failing: 0,
            startup_waiting: 0,
            not_run: 0,
            before,
            planned: false,
            live: true,
            draining: false,
            started: false,
            status: ServiceStatus::Starting,
            since: now,
            groups: BTreeMap::new(),
        }
    }

    pub(crate) const fn status(&self) -> ServiceStatus {
        self.status
    }

    pub(crate) const fn since(&self) -> SystemTime {
        self.since
    }

    pub(crate) const fn planned(&self) -> bool {
        self.planned
    }

    /// Whether the check runtime makes progress.
    pub(crate) const fn live(&self) -> bool {
        self.live
    }

    pub(crate) const fn draining(&self) -> bool {
        self.draining
    }

    /// Whether the startup probe was satisfied once; it stays satisfied.
    pub(crate) const fn started(&self) -> bool {
        self.started
    }

    /// Whether `/health` answers 200.
    pub(crate) const fn healthy(&self) -> bool {
        self.live && self.health_failing == 0
    }

    /// Whether `/ready` answers 200.
    pub(crate) const fn ready(&self) -> bool {
        self.status.is_ok()
    }

    /// The groups and their statuses, sorted by name.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, ServiceStatus)> {
        self.groups.iter().map(|(group, sums)| (group, self.of_group(sums)))
    }

    /// The status of the group `name`, if a check of the plan belongs to it.
    pub(crate) fn group(&self, name: &str) -> Option<ServiceStatus> {
        self.groups.get(name).map(|sums| self.of_group(sums))
    }

    /// The list of the service's status, applied to the checks of a group alone.
    const fn of_group(&self, sums: &GroupSums) -> ServiceStatus {
        if self.draining {
            ServiceStatus::Draining
        } else if sums.ready_failing > 0 || !self.healthy() {
            ServiceStatus::Down
        } else if sums.ready_waiting > 0 || !self.planned {
            ServiceStatus::Starting
        } else if sums.not_up > 0 {
            ServiceStatus::Degraded
        } else {
            ServiceStatus::Up
        }
    }

    /// Replaces the weight of a check in `groups`; equal weights change nothing.
    pub(crate) fn replace(
        &mut self,
        old: CheckContribution,
        new: CheckContribution,
        groups: &[Arc<str>],
        at: SystemTime,
    ) {
        let shift = |sum: &mut usize, old: bool, new: bool| {
            *sum = *sum + usize::from(new) - usize::from(old);
        };
        for group in groups {
            let sums = self.groups.entry(Arc::clone(group)).or_default();
            shift(&mut sums.not_up, old.not_up, new.not_up);
            shift(&mut sums.ready_failing, old.ready_failing, new.ready_failing);
            shift(&mut sums.ready_waiting, old.ready_waiting, new.ready_waiting);
        }
        shift(&mut self.not_up, old.not_up, new.not_up);
        shift(&mut self.ready_failing, old.ready_failing, new.ready_failing);
        shift(&mut self.ready_waiting, old.ready_waiting, new.ready_waiting);
        shift(&mut self.health_failing, old.health_failing, new.health_failing);
        shift(&mut self.startup_waiting, old.startup_waiting, new.startup_waiting);
        shift(&mut self.not_run, old.not_run, new.not_run);
        self.update(at);
    }

    /// Records that a plan was applied and its checks were counted; `has_group` tests for its
    /// groups.
    pub(crate) fn plan(&mut self, has_group: impl Fn(&str) -> bool, at: SystemTime) {
        self.planned = true;
        self.groups.retain(|group, _| has_group(group));
        self.update(at);
    }

    pub(crate) fn set_live(&mut self, live: bool, at: SystemTime) {
        self.live = live;
        self.update(at);
    }

    pub(crate) fn drain(&mut self, at: SystemTime) {
        self.draining = true;
        self.update(at);
    }

    fn update(&mut self, at: SystemTime) {
        self.started |= self.planned && self.ready_waiting == 0 && self.startup_waiting == 0;
        let status = self.first_that_applies();
        if status != self.status {
            self.status = status;
            self.since = match self.before {
                Some((before, since)) if before == status => since,
                _ => at,
            };
        }
        if self.planned && self.not_run == 0 {
            self.before = None;
        }
    }

    const fn first_that_applies(&self) -> ServiceStatus {
        if self.draining {
            ServiceStatus::Draining
        } else if self.ready_failing > 0 || !self.healthy() {
            ServiceStatus::Down
        } else if self.ready_waiting > 0 || !self.planned {
            ServiceStatus::Starting
        } else if self.not_up > 0 {
            ServiceStatus::Degraded
        } else {
            ServiceStatus::Up
        }
    }
}
