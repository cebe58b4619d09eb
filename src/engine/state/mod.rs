//! The health state: outcomes become a status here, and every probe, page and metric reads it.
//!
//! # Writing
//!
//! Only the engine can call the recorder methods (`record.rs`), which add each finished
//! [`Run`](crate::model::Run) to the cell of its check (`entry.rs`, `cell.rs`, `status_tracker.rs`). The
//! service's status follows from counts (`service_counts.rs`), so a run costs the same with ten checks and
//! with ten thousand.
//!
//! # Reading
//!
//! Readers get [`Snapshot`]s and probe [`Answer`]s (`view.rs`). Every reader first checks whether a
//! status has become stale, so that no check stays up when the check runtime hangs.

mod body;
mod cell;
mod counters;
mod entry;
mod failed_runs;
mod labels;
mod maintained;
mod observe;
mod record;
mod series_sink;
mod series_updates;
mod service_counts;
mod set;
mod status_tracker;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::model::{CheckInfo, Gate, ServiceStatus, Sink, Status, Trace};

pub(crate) use body::Body;
pub(crate) use cell::{Cell, Decides, Ids};
pub(crate) use counters::{CheckCounters, Exemplar, Histogram};
pub(crate) use entry::Entry;
pub(crate) use labels::Labels;
pub(crate) use maintained::Maintained;
pub(crate) use observe::{Call, slowness};
pub(crate) use record::Planned;
pub(crate) use series_sink::{CheckSeriesSink, SeriesSink};
pub(crate) use service_counts::ServiceCounts;
pub(crate) use view::suppressor;

pub use counters::BUCKETS;
pub use view::{Answer, CheckView, GroupView, Snapshot};

/// The observed service, for the head of the status document and the resource of spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// Name of the service.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Name of this instance.
    pub instance: String,
    /// Where it runs, such as `production`.
    pub environment: Option<String>,
}

/// The checks of the current plan.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Sorted by name.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// For each gate the entries that name it, sorted by name.
    gates: [Vec<Arc<Entry>>; Gate::ALL.len()],
    /// The entries that depend on a check, by its name.
    dependents: HashMap<Arc<str>, Vec<Arc<Entry>>>,
    /// The entries of each group, sorted by name.
    groups: BTreeMap<Arc<str>, Vec<Arc<Entry>>>,
}

impl Plan {
    fn of(mut entries: Vec<Arc<Entry>>) -> Self {
        entries.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let gating =
            |gate: Gate| entries.iter().filter(|e| e.info.gates.contains(gate)).cloned().collect();
        let gates = [gating(Gate::Health), gating(Gate::Ready), gating(Gate::Startup)];
        let mut dependents = HashMap::<_, Vec<_>>::new();
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for entry in &entries {
            for group in &entry.info.groups {
                groups.entry(Arc::clone(group)).or_default().push(Arc::clone(entry));
            }
            for on in &entry.info.depends_on {
                dependents.entry(Arc::clone(on)).or_default().push(Arc::clone(entry));
            }
        }
        Self { entries, gates, dependents, groups }
    }

    /// Whether any check belongs to the group `name`.
    fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        let at = self.entries.binary_search_by(|e| (*e.info.name).cmp(name)).ok()?;
        self.entries.get(at)
    }

    pub(crate) fn gating(&self, gate: Gate) -> &[Arc<Entry>] {
        &self.gates[gate as usize]
    }

    /// The entries that depend on the check `name`.
    fn dependents(&self, name: &str) -> &[Arc<Entry>] {
        self.dependents.get(name).map_or(&[], Vec::as_slice)
    }
}

/// The state of a service's health.
pub struct HealthState {
    service: ServiceInfo,
    started_at: SystemTime,
    booted: Instant,
    /// Whether traces are kept by outcome (see `telemetry/tail_sampling/`).
    keeps_tail: bool,
    /// URL of a trace, with `{trace_id}` in it.
    trace_url: Option<String>,
    sinks: Vec<Arc<dyn Sink>>,
    labels: Labels,
    series_sink: Option<Arc<dyn SeriesSink>>,
    /// Held while the suppressed checks are looked up and their series updated; never locked while
    /// an entry is locked.
    suppressing: Mutex<()>,
    plan: ArcSwap<Plan>,
    /// The checks in maintenance; locked while a plan is applied, so that no check of it is missed.
    maintained: Mutex<Maintained>,
    tally: Mutex<ServiceCounts>,
    /// Statuses from before this process, for the checks of the first plan.
    remembered: Mutex<HashMap<Arc<str>, (Status, SystemTime)>>,
    /// The checks with observed calls, which the sinks get once a second.
    observed: Mutex<Vec<Arc<Entry>>>,
    /// Grows with every change that is visible in the body of a probe.
    changes: AtomicU64,
    ids: Ids,
    /// Nanoseconds after `booted` before which no status goes stale.
    fresh_until: AtomicU64,
    /// Time from due to start of runs.
    delays: Mutex<Histogram>,
    /// Heartbeat of the check runtime: set by it once a second, reset by the HTTP side.
    runtime_was_alive: AtomicBool,
    silent_ticks: AtomicU32,
    /// Ticks without a beat after which the process counts as not live.
    tolerated_ticks: u32,
}

impl std::fmt::Debug for HealthState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthState")
            .field("service", &self.service)
            .field("tally", &*self.tally())
            .finish_non_exhaustive()
    }
}

/// The parts of a new state.
pub(crate) struct Setup {
    pub(crate) service: ServiceInfo,
    pub(crate) keeps_tail: bool,
    /// URL of a trace, with `{trace_id}` in it.
    pub(crate) trace_url: Option<String>,
    pub(crate) sinks: Vec<Arc<dyn Sink>>,
    /// Labels of every series.
    pub(crate) labels: Labels,
    /// Sink for the series, if they go to a recorder instead of `/metrics`.
    pub(crate) series_sink: Option<Arc<dyn SeriesSink>>,
    /// Ticks without a beat after which the process counts as not live.
    pub(crate) tolerated_ticks: u32,
    pub(crate) remembered: Remembered,
}

/// The statuses before this process. A check whose status is the same keeps its `since`.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// Statuses of checks by name, and since when.
    pub(crate) checks: HashMap<Arc<str>, (Status, SystemTime)>,
    /// The service's status, and since when.
    pub(crate) service: Option<(ServiceStatus, SystemTime)>,
}

impl HealthState {
    pub(crate) fn new(setup: Setup) -> Self {
        let now = SystemTime::now();
        Self {
            service: setup.service,
            started_at: now,
            booted: Instant::now(),
            keeps_tail: setup.keeps_tail,
            trace_url: setup.trace_url,
            sinks: setup.sinks,
            labels: setup.labels,
            series_sink: setup.series_sink,
            suppressing: Mutex::default(),
            plan: ArcSwap::default(),
            maintained: Mutex::default(),
            tally: Mutex::new(ServiceCounts::new(now, setup.remembered.service)),
            remembered: Mutex::new(setup.remembered.checks),
            observed: Mutex::default(),
            changes: AtomicU64::new(0),
            ids: Ids::default(),
            fresh_until: AtomicU64::new(u64::MAX),
            delays: Mutex::default(),
            runtime_was_alive: AtomicBool::new(false),
            silent_ticks: AtomicU32::new(0),
            tolerated_ticks: setup.tolerated_ticks.max(1),
        }
    }

    /// What is observed.
    #[must_use]
    pub fn service(&self) -> &ServiceInfo {
        &self.service
    }

    /// The checks of the current plan, sorted by name.
    #[must_use]
    pub fn checks(&self) -> Vec<Arc<CheckInfo>> {
        self.plan.load().entries.iter().map(|e| Arc::clone(&e.info)).collect()
    }

    /// A number that grows with every change that a probe's body can show.
    ///
    /// A body that was rendered with the same number is still valid.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.refresh(Instant::now());
        self.changes.load(Ordering::Acquire)
    }

    /// The URL of this trace, if a template for it was configured.
    #[must_use]
    pub fn trace_link(&self, trace: &Trace) -> Option<String> {
        let template = self.trace_url.as_ref()?;
        Some(template.replace("{trace_id}", &trace.trace_id_hex()))
    }

    pub(crate) fn plan(&self) -> arc_swap::Guard<Arc<Plan>> {
        self.plan.load()
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Whether the series go to a recorder instead of `/metrics`.
    pub(crate) fn has_series_sink(&self) -> bool {
        self.series_sink.is_some()
    }

    fn maintained(&self) -> MutexGuard<'_, Maintained> {
        self.maintained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, ServiceCounts> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn delays(&self) -> MutexGuard<'_, Histogram> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn nanos_of(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.booted).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}
