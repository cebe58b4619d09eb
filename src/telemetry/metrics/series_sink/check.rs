//! Writes the series of one check to a host's recorder; `telemetry/metrics/checks.rs` writes
//! the same series for `/metrics`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::metrics::{Gauge, Histogram};

use super::super::checks::{self, is_free};
use super::super::names::{self, Metric};
use super::number;
use super::recorder::{DeltaCounter, Figure, LabelledRecorder, Optional, SeriesLabels};
use crate::engine::state::{Cell, CheckCounters, CheckSeriesSink};
use crate::model::{CheckInfo, Outcome, Phase, Reason, Run, SkipReason, Status};

/// The series of one check in a recorder.
#[derive(Debug)]
pub(super) struct RecordedCheck {
    recorder: Arc<LabelledRecorder>,
    info: Arc<CheckInfo>,
    /// `check`, `kind` and the labels of every series.
    labels: SeriesLabels,
    durations: Histogram,
    status: Vec<Gauge>,
    consecutive_failures: Gauge,
    suppressed: Gauge,
    maintenance: Gauge,
    interval: Gauge,
    timeout: Gauge,
    about: Gauge,
    objective: Optional,
    up: Optional,
    last_result: Optional,
    last_run: Optional,
    last_success: Optional,
    /// In the order in which they were first passed.
    phases: Vec<(Phase, Optional)>,
    /// By name, in the order in which they were first seen.
    measured: Vec<(&'static str, Option<Figure>)>,
    counters: Counters,
}

impl RecordedCheck {
    /// Registers the series that a check has before its first run.
    pub(super) fn new(recorder: Arc<LabelledRecorder>, info: Arc<CheckInfo>) -> Self {
        let labels =
            SeriesLabels::default().with("check", Arc::clone(&info.name)).with("kind", info.kind);
        let labels = recorder.common_after(labels);
        let gauge = |metric| recorder.gauge(metric, labels.clone());
        let status = |status: &Status| {
            recorder.gauge(&names::CHECK_STATUS, labels.clone().with("status", status.as_str()))
        };
        let check = Self {
            durations: recorder.histogram(&names::CHECK_DURATION, labels.clone()),
            status: Status::ALL.iter().map(status).collect(),
            consecutive_failures: gauge(&names::CHECK_CONSECUTIVE_FAILURES),
            suppressed: gauge(&names::CHECK_SUPPRESSED),
            maintenance: gauge(&names::CHECK_MAINTENANCE),
            interval: gauge(&names::CHECK_INTERVAL),
            timeout: gauge(&names::CHECK_TIMEOUT),
            about: about(&recorder, &labels, &info),
            objective: Optional::default(),
            up: Optional::default(),
            last_result: Optional::default(),
            last_run: Optional::default(),
            last_success: Optional::default(),
            phases: Vec::new(),
            measured: Vec::new(),
            counters: Counters::new(),
            recorder,
            info,
            labels,
        };
        check.suppressed.set(0.0);
        check
    }

    /// Sets the gauges of the configuration.
    fn configured(&mut self) {
        let (recorder, labels) = (&self.recorder, &self.labels);
        self.interval.set(self.info.interval.as_secs_f64());
        self.timeout.set(self.info.timeout.as_secs_f64());
        self.about.set(1.0);
        self.objective.set(self.info.objective_ratio(), || {
            recorder.gauge(&names::CHECK_OBJECTIVE, labels.clone())
        });
    }

    fn statuses(&mut self, status: Status) {
        for (gauge, one) in self.status.iter().zip(Status::ALL) {
            gauge.set(number(*one == status));
        }
        let up = match status {
            Status::Up | Status::Degraded => Some(1.0),
            Status::Down => Some(0.0),
            Status::Unknown => None,
        };
        let (recorder, labels) = (&self.recorder, &self.labels);
        self.up.set(up, || recorder.gauge(&names::CHECK_UP, labels.clone()));
    }

    /// Sets the gauges of the last results.
    fn results(&mut self, cell: &Cell) {
        let (recorder, labels) = (&self.recorder, &self.labels);
        let register = |metric: &'static Metric| move || recorder.gauge(metric, labels.clone());
        self.last_result.set(cell.last_result.map(number), register(&names::CHECK_LAST_RESULT));
        self.consecutive_failures.set(f64::from(cell.consecutive_failures()));
        let ended = cell.last_ended().map(unix_time);
        self.last_run.set(ended, register(&names::CHECK_LAST_RUN));
        let success = cell.last_success_at.map(unix_time);
        self.last_success.set(success, register(&names::CHECK_LAST_SUCCESS));
    }

    /// Sets the phases and the measurements of the last run.
    fn parts(&mut self, run: Option<&Run>) {
        let (recorder, labels) = (&self.recorder, &self.labels);
        let passed = run.map_or(&[][..], |run| &run.phases);
        for (phase, _) in passed {
            if !self.phases.iter().any(|(known, _)| known == phase) {
                self.phases.push((*phase, Optional::default()));
            }
        }
        for (phase, shown) in &mut self.phases {
            let took = passed.iter().find(|(one, _)| one == phase);
            shown.set(took.map(|(_, took)| took.as_secs_f64()), || {
                let labels = labels.clone().with("phase", phase.as_str());
                recorder.gauge(&names::CHECK_PHASE_DURATION, labels)
            });
        }
        let measured = run.map_or(&[][..], |run| &run.measurements);
        for (name, figure) in &self.measured {
            if let Some(figure) = figure
                && !measured.iter().any(|(m, _)| m.name == *name)
            {
                figure.withdraw();
            }
        }
        for (measurement, value) in measured {
            let known = self.measured.iter().position(|(name, _)| *name == measurement.name);
            let at = known.unwrap_or_else(|| {
                let family = format!("health_check_{}", measurement.name);
                let figure = is_free(&family)
                    .then(|| Figure::register(recorder, family, measurement, labels.clone()));
                self.measured.push((measurement.name, figure));
                self.measured.len() - 1
            });
            if let (_, Some(figure)) = &self.measured[at] {
                figure.set(*value);
            }
        }
    }
}

impl CheckSeriesSink for RecordedCheck {
    fn follow(&mut self, info: &Arc<CheckInfo>) {
        if info.kind != self.info.kind {
            self.withdraw();
            *self = Self::new(Arc::clone(&self.recorder), Arc::clone(info));
            return;
        }
        if checks::about(info) != checks::about(&self.info) {
            self.about.set(f64::NAN);
            self.about = about(&self.recorder, &self.labels, info);
        }
        self.info = Arc::clone(info);
        // A change of the plan calls this only for checks that depend on another.
        self.suppressed.set(0.0);
    }

    fn ran(&mut self, duration: Duration) {
        self.durations.record(duration.as_secs_f64());
    }

    fn show(&mut self, cell: &Cell) {
        self.configured();
        self.statuses(cell.status());
        self.maintenance.set(number(cell.maintenance));
        self.parts(cell.last_own_run.as_deref());
        self.count(cell);
    }

    fn count(&mut self, cell: &Cell) {
        self.results(cell);
        self.counters.raise(&self.recorder, &self.labels, &cell.counters);
    }

    fn suppressed(&mut self, suppressed: bool) {
        self.suppressed.set(number(suppressed));
    }

    fn withdraw(&mut self) {
        let always = [
            &self.consecutive_failures,
            &self.suppressed,
            &self.maintenance,
            &self.interval,
            &self.timeout,
            &self.about,
        ];
        let gauges = self.status.iter().chain(always);
        gauges.for_each(|gauge| gauge.set(f64::NAN));
        self.measured.iter().filter_map(|(_, figure)| figure.as_ref()).for_each(Figure::withdraw);
        for optional in [
            &mut self.objective,
            &mut self.up,
            &mut self.last_result,
            &mut self.last_run,
            &mut self.last_success,
        ] {
            optional.clear();
        }
        self.phases.iter_mut().for_each(|(_, phase)| phase.clear());
    }
}

fn about(recorder: &LabelledRecorder, labels: &SeriesLabels, info: &CheckInfo) -> Gauge {
    let more = checks::about(info).into_iter();
    let labels = more.fold(labels.clone(), |all, (name, value)| all.with(name, value));
    recorder.gauge(&names::CHECK_INFO, labels)
}

/// To the millisecond, as on the page; a clock before 1970 reads 0.
fn unix_time(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1e3
}

/// The counters of one check.
#[derive(Debug)]
struct Counters {
    outcomes: Vec<DeltaCounter>,
    slo: [DeltaCounter; 2],
    failures: Vec<DeltaCounter>,
    transitions: Vec<DeltaCounter>,
    skipped: Vec<DeltaCounter>,
}

impl Counters {
    fn new() -> Self {
        let counts = |of: usize| std::iter::repeat_with(DeltaCounter::default).take(of).collect();
        Self {
            outcomes: counts(Outcome::ALL.len()),
            slo: [DeltaCounter::default(), DeltaCounter::default()],
            failures: counts(Reason::ALL.len()),
            transitions: counts(Status::ALL.len()),
            skipped: counts(SkipReason::ALL.len()),
        }
    }

    fn raise(
        &mut self,
        recorder: &LabelledRecorder,
        labels: &SeriesLabels,
        figures: &CheckCounters,
    ) {
        let raise = |count: &mut DeltaCounter, metric: &Metric, value: &'static str, now: u64| {
            let label = metric.labels.last().copied().unwrap_or_default();
            count.raise_to(now, || recorder.counter(metric, labels.clone().with(label, value)));
        };
        for (outcome, count) in Outcome::ALL.iter().zip(&mut self.outcomes) {
            let now = figures.outcomes[*outcome as usize];
            raise(count, &names::CHECK_RUNS, outcome.as_str(), now);
        }
        let [good, bad] = &mut self.slo;
        raise(good, &names::CHECK_SLO_RUNS, "good", figures.slo_good);
        raise(bad, &names::CHECK_SLO_RUNS, "bad", figures.slo_bad);
        for (reason, count) in Reason::ALL.iter().zip(&mut self.failures) {
            let now = figures.failures[*reason as usize];
            if now > 0 {
                raise(count, &names::CHECK_FAILURES, reason.as_str(), now);
            }
        }
        for (to, count) in Status::ALL.iter().zip(&mut self.transitions) {
            raise(count, &names::CHECK_TRANSITIONS, to.as_str(), figures.transitions[*to as usize]);
        }
        for (reason, count) in SkipReason::ALL.iter().zip(&mut self.skipped) {
            raise(count, &names::CHECK_SKIPPED, reason.as_str(), figures.skipped[*reason as usize]);
        }
    }
}
