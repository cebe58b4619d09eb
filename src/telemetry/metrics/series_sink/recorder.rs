//! A recorder of the `metrics` facade, and the handles to its series.

use std::sync::Arc;

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString,
};

use super::super::names::{self, Metric, Origin};
use crate::engine::state::Labels;
use crate::model::Measurement;

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// A recorder, and the labels that all our series have in it.
pub(super) struct LabelledRecorder {
    /// `None` is the global recorder.
    recorder: Option<Arc<dyn Recorder + Send + Sync>>,
    common: SeriesLabels,
}

/// The labels of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct SeriesLabels(Vec<Label>);

impl SeriesLabels {
    pub(super) fn with(
        mut self,
        name: impl Into<SharedString>,
        value: impl Into<SharedString>,
    ) -> Self {
        self.0.push(Label::new(name, value));
        self
    }
}

impl std::fmt::Debug for LabelledRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LabelledRecorder").field("common", &self.common).finish_non_exhaustive()
    }
}

impl LabelledRecorder {
    pub(super) fn new(recorder: Option<Arc<dyn Recorder + Send + Sync>>, labels: &Labels) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let common =
            labels.iter().map(owned).fold(SeriesLabels::default(), |all, (n, v)| all.with(n, v));
        Self { recorder, common }
    }

    /// The labels that every series gets.
    pub(super) fn common(&self) -> SeriesLabels {
        self.common.clone()
    }

    /// `labels`, followed by those that every series gets.
    pub(super) fn common_after(&self, mut labels: SeriesLabels) -> SeriesLabels {
        labels.0.extend_from_slice(&self.common.0);
        labels
    }

    fn recorder<T>(&self, f: impl FnOnce(&dyn Recorder) -> T) -> T {
        match &self.recorder {
            Some(recorder) => f(recorder.as_ref()),
            None => ::metrics::with_recorder(f),
        }
    }

    /// Describes the metrics of the health state.
    pub(super) fn describe(&self) {
        self.recorder(|recorder| names::describe(recorder, Origin::State));
    }

    pub(super) fn gauge(&self, metric: &Metric, labels: SeriesLabels) -> Gauge {
        let key = Key::from_parts(metric.name, labels.0);
        self.recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    /// Registers a counter, which starts at 0.
    pub(super) fn counter(&self, metric: &Metric, labels: SeriesLabels) -> Counter {
        let key = Key::from_parts(metric.name, labels.0);
        let counter = self.recorder(|recorder| recorder.register_counter(&key, &METADATA));
        counter.increment(0);
        counter
    }

    pub(super) fn histogram(&self, metric: &Metric, labels: SeriesLabels) -> Histogram {
        let key = Key::from_parts(metric.name, labels.0);
        self.recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }
}

/// A gauge that is registered with its first value, and becomes NaN when it has no value any
/// more.
#[derive(Debug, Default)]
pub(super) struct Optional(Option<Gauge>);

impl Optional {
    pub(super) fn set(&mut self, value: Option<f64>, register: impl FnOnce() -> Gauge) {
        match (value, &self.0) {
            (Some(value), _) => self.0.get_or_insert_with(register).set(value),
            (None, Some(gauge)) => gauge.set(f64::NAN),
            (None, None) => {}
        }
    }

    pub(super) fn clear(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.set(f64::NAN);
        }
    }
}

/// The series of a measurement.
#[derive(Debug)]
pub(super) enum Figure {
    Gauge(Gauge),
    Counter(Counter),
}

impl Figure {
    /// Registers `family` for `measurement`, and describes it.
    pub(super) fn register(
        recorder: &LabelledRecorder,
        family: String,
        measurement: &Measurement,
        labels: SeriesLabels,
    ) -> Self {
        let (name, help) = (KeyName::from(family.clone()), measurement.help.into());
        let key = Key::from_parts(family, labels.0);
        if measurement.is_counter() {
            let stem = measurement.name.strip_suffix("_total").unwrap_or(measurement.name);
            let unit = Some(names::recorded_unit(names::unit(stem)));
            return Self::Counter(recorder.recorder(|recorder| {
                recorder.describe_counter(name, unit, help);
                recorder.register_counter(&key, &METADATA)
            }));
        }
        let unit = Some(names::recorded_unit(names::unit(measurement.name)));
        Self::Gauge(recorder.recorder(|recorder| {
            recorder.describe_gauge(name, unit, help);
            recorder.register_gauge(&key, &METADATA)
        }))
    }

    /// Sets the value; counters of recorders are whole and never fall.
    pub(super) fn set(&self, value: f64) {
        match self {
            Self::Gauge(gauge) => gauge.set(value),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it saturates"
            )]
            Self::Counter(counter) => counter.absolute(value as u64),
        }
    }

    /// Takes the value away where a series can lose it.
    pub(super) fn withdraw(&self) {
        if let Self::Gauge(gauge) = self {
            gauge.set(f64::NAN);
        }
    }
}

/// A counter that is registered at its first use and incremented by differences.
///
/// Our counts restart at 0 when a check is removed and added again. A counter of a recorder
/// only grows, so it gets the differences.
#[derive(Debug, Default)]
pub(super) struct DeltaCounter {
    counter: Option<Counter>,
    /// The count that the counter has received so far.
    recorded: u64,
}

impl DeltaCounter {
    pub(super) fn raise_to(&mut self, now: u64, register: impl FnOnce() -> Counter) {
        let counter = self.counter.get_or_insert_with(register);
        if now > self.recorded {
            counter.increment(now - self.recorded);
            self.recorded = now;
        }
    }
}
