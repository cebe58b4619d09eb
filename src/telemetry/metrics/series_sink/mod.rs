//! The series of the checks and of the service in a recorder of the `metrics` facade, for a host
//! that exposes metrics its own way.
//!
//! The state calls the [`SeriesSink`]; this one sets gauges, counters and histograms with the same
//! names, labels and values as on the page. Handles are registered once and kept.
//!
//! A recorder cannot remove a series. If the page no longer shows a series, such as
//! `health_check_up` of a check whose status is unknown, the recorder's gauge becomes NaN: `==`,
//! `<` and `>` with NaN are false, so no alert fires on it.

mod check;
mod claim;
mod groups;
mod recorder;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::metrics::{Gauge, Histogram, Recorder};

use super::{names, service};
use crate::engine::state::{CheckSeriesSink, Labels, SeriesSink, ServiceCounts};
use crate::model::{CheckInfo, ServiceStatus};

use check::RecordedCheck;
use groups::RecordedGroups;
use recorder::LabelledRecorder;

pub(crate) use claim::Claim;

/// Where the series of the checks and of the service are shown; each is shown in one place.
///
/// Handles are requested from a recorder when a check is added to the plan, or when a series
/// first has a value, and are kept until the end. So a recorder must not drop idle metrics: do not
/// use `PrometheusBuilder::idle_timeout`. Give the histograms named `…_seconds` the bounds
/// [`BUCKETS`](crate::engine::state::BUCKETS).
///
/// A recorder is called while the check is locked: it must return at once, and must not read
/// the health of the check.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Exposition {
    /// On the `/metrics` route of [`Health::router`](crate::Health::router).
    #[default]
    Route,
    /// In the global recorder of the `metrics` facade, which the host must install before
    /// [`build`](crate::Builder::build). A recorder that is installed later gets nothing; without a
    /// recorder the series are lost.
    ///
    /// The router then has no `/metrics`, so that it does not collide with the host's route. If
    /// the host passes its [exporter](crate::Builder::exporter), the route exists and shows what
    /// the exporter holds, including the checks' series once.
    Facade,
    /// In this recorder; otherwise as [`Facade`](Self::Facade).
    ///
    /// Metrics about HTTP, history and alerts always go to the global recorder. Use `Facade`
    /// for the global recorder: recorders are compared by their `Arc`, so if the same recorder is
    /// passed here as well, or in two `Arc`s, the conflict is not detected, and two
    /// [`Health`](crate::Health) values could record the same series there.
    Recorder(Arc<dyn Recorder + Send + Sync>),
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "Route",
            Self::Facade => "Facade",
            Self::Recorder(_) => "Recorder",
        })
    }
}

impl Exposition {
    /// The sink that records the series; `None` when the route shows them.
    pub(crate) fn series_sink(&self, labels: &Labels) -> Option<Arc<dyn SeriesSink>> {
        let recorder = match self {
            Self::Route => return None,
            Self::Facade => None,
            Self::Recorder(recorder) => Some(Arc::clone(recorder)),
        };
        let recorder = LabelledRecorder::new(recorder, labels);
        recorder.describe();
        Some(Arc::new(RecordedService::new(Arc::new(recorder))))
    }
}

/// The series of the service.
struct RecordedService {
    recorder: Arc<LabelledRecorder>,
    status: Vec<Gauge>,
    ready: Gauge,
    live: Gauge,
    started: Gauge,
    draining: Gauge,
    configured: Gauge,
    delays: Histogram,
    build: Gauge,
    groups: Mutex<RecordedGroups>,
    withdrawn: AtomicBool,
}

impl RecordedService {
    fn new(recorder: Arc<LabelledRecorder>) -> Self {
        let gauge = |metric| recorder.gauge(metric, recorder.common());
        let status = |one: &ServiceStatus| {
            recorder.gauge(&names::STATUS, recorder.common().with("status", one.as_str()))
        };
        let build = service::build().into_iter();
        let build = build.fold(recorder.common(), |labels, (name, value)| labels.with(name, value));
        let build = recorder.gauge(&names::BUILD_INFO, build);
        build.set(1.0);
        Self {
            status: ServiceStatus::ALL.iter().map(status).collect(),
            ready: gauge(&names::READY),
            live: gauge(&names::LIVE),
            started: gauge(&names::STARTED),
            draining: gauge(&names::DRAINING),
            configured: gauge(&names::CHECKS_CONFIGURED),
            delays: recorder.histogram(&names::SCHEDULING_DELAY, recorder.common()),
            build,
            groups: Mutex::default(),
            withdrawn: AtomicBool::new(false),
            recorder,
        }
    }

    fn groups(&self) -> MutexGuard<'_, RecordedGroups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeriesSink for RecordedService {
    fn check(&self, info: &Arc<CheckInfo>) -> Box<dyn CheckSeriesSink> {
        Box::new(RecordedCheck::new(Arc::clone(&self.recorder), Arc::clone(info)))
    }

    fn checks(&self, count: usize) {
        self.configured.set(count as f64);
    }

    fn service(&self, tally: &ServiceCounts) {
        if self.withdrawn.load(Ordering::Acquire) {
            return;
        }
        for (gauge, status) in self.status.iter().zip(ServiceStatus::ALL) {
            gauge.set(number(tally.status() == *status));
        }
        self.ready.set(number(tally.ready()));
        self.live.set(number(tally.healthy()));
        self.started.set(number(tally.started()));
        self.draining.set(number(tally.draining()));
        self.groups().show(&self.recorder, tally);
    }

    fn delayed(&self, delay: Duration) {
        self.delays.record(delay.as_secs_f64());
    }

    fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
        let probes = [&self.ready, &self.live, &self.started, &self.draining];
        let gauges = self.status.iter().chain(probes).chain([&self.configured, &self.build]);
        gauges.for_each(|gauge| gauge.set(f64::NAN));
        self.groups().withdraw();
    }
}

/// A fact as the value of a gauge.
fn number(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}
