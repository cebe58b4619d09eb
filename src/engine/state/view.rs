//! Views of the state for readers: one check, a snapshot of all checks, or the answer of one probe,
//! also with `?exclude`.
//!
//! [`HealthState::answer`] computes the rules of `service_counts.rs` for the checks of one probe, with
//! exclusions; change both together.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::{Entry, HealthState, Plan, ServiceInfo};
use crate::model::{CheckInfo, Gate, Run, ServiceStatus, Status};

/// One check as a reader sees it at one moment.
#[derive(Debug, Clone)]
pub struct CheckView {
    /// Name, kind and options of the check.
    pub info: Arc<CheckInfo>,
    /// Its status.
    pub status: Status,
    /// Since when it has that status.
    pub since: SystemTime,
    /// Its last run, of whatever outcome.
    pub last_run: Option<Arc<Run>>,
    /// End of its last good run.
    pub last_success_at: Option<SystemTime>,
    /// Failed runs since its last good one.
    pub consecutive_failures: u32,
    /// A dependency that is down; meanwhile this check's own alerts are suppressed.
    pub suppressed_by: Option<Arc<str>>,
    /// Whether it is in a maintenance window: it keeps its true status, but counts as degraded at
    /// worst.
    pub maintenance: bool,
    /// Whether the probes that it gates turn 503 now if it is down.
    pub gates_now: bool,
    /// URL of the trace of its last run, if the trace is kept and a template of the URL is
    /// configured.
    pub trace_url: Option<String>,
}

impl CheckView {
    fn of(state: &HealthState, plan: &Plan, entry: &Entry) -> Self {
        let cell = entry.lock();
        let view = Self {
            info: Arc::clone(&entry.info),
            status: cell.status(),
            since: cell.since(),
            last_run: cell.last_run(),
            last_success_at: cell.last_success_at,
            consecutive_failures: cell.consecutive_failures(),
            suppressed_by: None,
            maintenance: cell.maintenance,
            gates_now: cell.gates_now(),
            trace_url: cell.kept_trace.and_then(|trace| state.trace_link(&trace)),
        };
        // Another entry is locked only once this one is released.
        drop(cell);
        Self { suppressed_by: suppressor(plan, &entry.info), ..view }
    }

    fn failing(&self) -> bool {
        match self.status {
            Status::Down => true,
            Status::Unknown => self.last_run.is_some(),
            Status::Up | Status::Degraded => false,
        }
    }
}

/// A group of checks as a reader sees it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupView {
    /// Its name.
    pub name: Arc<str>,
    /// What its checks add up to; see [`HealthState::group`].
    pub status: ServiceStatus,
    /// The names of its checks, sorted.
    pub checks: Vec<Arc<str>>,
}

/// The first dependency of `info` that is down.
pub(crate) fn suppressor(plan: &Plan, info: &CheckInfo) -> Option<Arc<str>> {
    let down = |name: &&Arc<str>| {
        plan.find(name).is_some_and(|entry| entry.lock().status() == Status::Down)
    };
    info.depends_on.iter().find(down).cloned()
}

/// The state of the service and all checks at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The observed service.
    pub service: ServiceInfo,
    /// When the process started.
    pub started_at: SystemTime,
    /// How long ago that is, by the monotonic clock.
    pub uptime: std::time::Duration,
    /// Status of the service.
    pub status: ServiceStatus,
    /// Since when it has that status.
    pub since: SystemTime,
    /// Whether `/health` answers 200.
    pub live: bool,
    /// Whether `/ready` answers 200.
    pub ready: bool,
    /// Whether `/startup` answers 200.
    pub started: bool,
    /// Every check, sorted by name.
    pub checks: Vec<CheckView>,
    /// Every group of checks, sorted by name.
    pub groups: Vec<GroupView>,
}

/// The answer of a probe, and the checks that it depends on.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status as this probe sees it; 200 for up and degraded, else 503.
    pub status: ServiceStatus,
    /// The checks that gate this probe, sorted by name.
    pub checks: Vec<CheckView>,
}

impl HealthState {
    /// The service and every check.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        self.refresh(now);
        let plan = self.plan.load();
        let checks = plan.entries.iter().map(|entry| CheckView::of(self, &plan, entry)).collect();
        let tally = self.tally();
        let groups = plan.groups.iter().filter_map(|(name, entries)| {
            Some(GroupView {
                name: Arc::clone(name),
                status: tally.group(name)?,
                checks: entries.iter().map(|entry| Arc::clone(&entry.info.name)).collect(),
            })
        });
        let groups = groups.collect();
        Snapshot {
            service: self.service.clone(),
            started_at: self.started_at,
            uptime: now.saturating_duration_since(self.booted),
            status: tally.status(),
            since: tally.since(),
            live: tally.healthy(),
            ready: tally.ready(),
            started: tally.started(),
            checks,
            groups,
        }
    }

    /// One check by name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<CheckView> {
        self.refresh(Instant::now());
        let plan = self.plan.load();
        plan.find(name).map(|entry| CheckView::of(self, &plan, entry))
    }

    /// Whether a check of this name is part of the plan.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.plan.load().find(name).is_some()
    }

    /// The status of one check by name.
    #[cfg(feature = "tonic")]
    pub(crate) fn status_of(&self, name: &str) -> Option<Status> {
        self.refresh(Instant::now());
        self.plan.load().find(name).map(|entry| entry.lock().status())
    }

    /// The status of every check, sorted by name.
    #[cfg(feature = "tonic")]
    pub(crate) fn statuses(&self) -> Vec<(Arc<str>, Status)> {
        self.refresh(Instant::now());
        let plan = self.plan.load();
        plan.entries.iter().map(|e| (Arc::clone(&e.info.name), e.lock().status())).collect()
    }

    /// The status of every group, sorted by name.
    #[cfg(feature = "tonic")]
    pub(crate) fn group_statuses(&self) -> Vec<(Arc<str>, ServiceStatus)> {
        self.refresh(Instant::now());
        self.tally().groups().map(|(group, status)| (Arc::clone(group), status)).collect()
    }

    /// Whether `/ready` answers 200.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.refresh(Instant::now());
        self.tally().ready()
    }

    /// The status of the service.
    #[must_use]
    pub fn status(&self) -> ServiceStatus {
        self.refresh(Instant::now());
        self.tally().status()
    }

    /// Whether `/health` answers 200.
    #[must_use]
    pub fn live(&self) -> bool {
        self.refresh(Instant::now());
        self.tally().healthy()
    }

    /// Whether `/startup` answers 200; once it does, it does for good.
    #[must_use]
    pub fn started(&self) -> bool {
        self.tally().started()
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.tally().draining()
    }

    /// The status of the group `name`; `None` when no check belongs to it.
    ///
    /// It is the status of the service as if it had no other checks than those of the group: the
    /// first that applies of `draining`; `down` while a check of the group that gates `ready` is down,
    /// or unknown after having run, or `/health` is 503; `starting` while such a check has had no run;
    /// `degraded` while any check of the group is not up; `up`.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<ServiceStatus> {
        self.refresh(Instant::now());
        self.tally().group(name)
    }

    /// Whether any check belongs to the group `name`.
    pub(crate) fn knows_group(&self, name: &str) -> bool {
        self.plan.load().has_group(name)
    }

    /// What `/ready/group/{group}` answers, as if the checks in `except` did not exist: the group's
    /// [status](Self::group) and all of its checks. `None` when no check belongs to the group.
    #[must_use]
    pub fn group_answer<S: AsRef<str>>(&self, group: &str, except: &[S]) -> Option<Answer> {
        self.refresh(Instant::now());
        let plan = self.plan.load();
        let kept = |entry: &&Arc<Entry>| !except.iter().any(|n| *n.as_ref() == *entry.info.name);
        let members = plan.groups.get(group)?.iter().filter(kept);
        let checks: Vec<_> = members.map(|entry| CheckView::of(self, &plan, entry)).collect();
        let (planned, live, draining) = {
            let tally = self.tally();
            (tally.planned(), tally.live(), tally.draining())
        };
        let gates = |check: &&CheckView| check.info.gates.contains(Gate::Ready);
        let dead =
            || !live || plan.gating(Gate::Health).iter().filter(kept).any(|e| health_fails(e));
        let status = if draining {
            ServiceStatus::Draining
        } else if checks.iter().filter(gates).any(|c| c.gates_now && c.failing()) || dead() {
            ServiceStatus::Down
        } else if !planned || checks.iter().filter(gates).any(waiting) {
            ServiceStatus::Starting
        } else if checks.iter().any(|c| c.status != Status::Up) {
            ServiceStatus::Degraded
        } else {
            ServiceStatus::Up
        };
        Some(Answer { status, checks })
    }

    /// The answer of the probe of `gate` without parameters; [`to_json`](Answer::to_json) is its
    /// body. The axum routes answer the same.
    #[must_use]
    pub fn probe(&self, gate: Gate) -> Answer {
        self.answer::<&str>(gate, &[])
    }

    /// The answer of the probe of `gate`, as if the checks in `except` did not exist; unknown names
    /// are ignored.
    #[must_use]
    pub fn answer<S: AsRef<str>>(&self, gate: Gate, except: &[S]) -> Answer {
        self.refresh(Instant::now());
        let plan = self.plan.load();
        let asked = |gate: Gate| {
            let excluded =
                move |e: &&Arc<Entry>| !except.iter().any(|n| *n.as_ref() == *e.info.name);
            plan.gating(gate).iter().filter(excluded)
        };
        let checks: Vec<_> = asked(gate).map(|entry| CheckView::of(self, &plan, entry)).collect();
        let (planned, live, draining, started) = {
            let tally = self.tally();
            (tally.planned(), tally.live(), tally.draining(), tally.started())
        };
        let degraded = checks.iter().any(|c| c.status != Status::Up);
        let failing = checks.iter().any(|c| c.gates_now && c.failing());
        let serving = if degraded { ServiceStatus::Degraded } else { ServiceStatus::Up };
        let status = match gate {
            Gate::Startup if started => serving,
            Gate::Startup if failing => ServiceStatus::Down,
            Gate::Startup => self.starting_or(serving, &plan, &checks, except),
            Gate::Ready if draining => ServiceStatus::Draining,
            Gate::Health | Gate::Ready if failing || !live => ServiceStatus::Down,
            Gate::Ready if asked(Gate::Health).any(|e| health_fails(e)) => ServiceStatus::Down,
            Gate::Ready if !planned || checks.iter().any(waiting) => ServiceStatus::Starting,
            Gate::Health | Gate::Ready => serving,
        };
        Answer { status, checks }
    }

    /// `serving` if the startup probe would be satisfied without the checks in `except`.
    fn starting_or<S: AsRef<str>>(
        &self,
        serving: ServiceStatus,
        plan: &Plan,
        checks: &[CheckView],
        except: &[S],
    ) -> ServiceStatus {
        let excluded = |name: &str| except.iter().any(|n| n.as_ref() == name);
        let serves =
            |c: &CheckView| !c.gates_now || matches!(c.status, Status::Up | Status::Degraded);
        let ran = |e: &Arc<Entry>| {
            let cell = e.lock();
            excluded(&e.info.name) || !cell.gates_now() || cell.has_run()
        };
        let satisfied = self.tally().planned()
            && checks.iter().all(serves)
            && plan.gating(Gate::Ready).iter().all(ran);
        if satisfied { serving } else { ServiceStatus::Starting }
    }
}

fn health_fails(entry: &Entry) -> bool {
    let cell = entry.lock();
    cell.gates_now() && cell.failing()
}

fn waiting(check: &CheckView) -> bool {
    check.gates_now && check.last_run.is_none()
}
