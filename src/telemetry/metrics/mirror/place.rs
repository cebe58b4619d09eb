//! Where series are recorded: a recorder, and the handles that it gives.

use std::sync::Arc;

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString,
};

use super::super::names::{self, Metric, Origin};
use crate::engine::state::Labels;

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// A recorder with the labels of every series.
pub(super) struct Place {
    /// The process's where there is none.
    recorder: Option<Arc<dyn Recorder + Send + Sync>>,
    common: Series,
}

/// The labels of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct Series(Vec<Label>);

impl Series {
    pub(super) fn with(
        mut self,
        name: impl Into<SharedString>,
        value: impl Into<SharedString>,
    ) -> Self {
        self.0.push(Label::new(name, value));
        self
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("common", &self.common).finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn new(recorder: Option<Arc<dyn Recorder + Send + Sync>>, labels: &Labels) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let common = labels.iter().map(owned).fold(Series::default(), |all, (n, v)| all.with(n, v));
        Self { recorder, common }
    }

    /// The labels of every series.
    pub(super) fn common(&self) -> Series {
        self.common.clone()
    }

    /// `labels`, and those of every series.
    pub(super) fn common_after(&self, mut labels: Series) -> Series {
        labels.0.extend_from_slice(&self.common.0);
        labels
    }

    fn recorder<T>(&self, f: impl FnOnce(&dyn Recorder) -> T) -> T {
        match &self.recorder {
            Some(recorder) => f(recorder.as_ref()),
            None => ::metrics::with_recorder(f),
        }
    }

    /// Tells what the metrics are that the state has.
    pub(super) fn describe(&self) {
        self.recorder(|recorder| names::describe(recorder, Origin::State));
    }

    /// Tells what a gauge is that is in no table.
    pub(super) fn describe_gauge(&self, name: &str, help: &'static str) {
        let name = KeyName::from(name.to_owned());
        let unit = names::recorded_unit(names::unit(name.as_str()));
        self.recorder(|recorder| recorder.describe_gauge(name, Some(unit), help.into()));
    }

    pub(super) fn gauge(&self, metric: &Metric, labels: Series) -> Gauge {
        self.gauge_named(metric.name, labels)
    }

    pub(super) fn gauge_named(&self, name: impl Into<KeyName>, labels: Series) -> Gauge {
        let key = Key::from_parts(name, labels.0);
        self.recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    /// A counter, which is there from now on.
    pub(super) fn counter(&self, metric: &Metric, labels: Series) -> Counter {
        let key = Key::from_parts(metric.name, labels.0);
        let counter = self.recorder(|recorder| recorder.register_counter(&key, &METADATA));
        counter.increment(0);
        counter
    }

    pub(super) fn histogram(&self, metric: &Metric, labels: Series) -> Histogram {
        let key = Key::from_parts(metric.name, labels.0);
        self.recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }
}

/// A gauge that is asked for once it has a value, and is NaN when it has one no longer.
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

/// A counter that is asked for once there is something to tell it.
#[derive(Debug, Default)]
pub(super) struct Count {
    counter: Option<Counter>,
    /// What it was told so far. A check that comes back counts anew, and a recorder's counter goes
    /// on, so what it is told is the difference.
    told: u64,
}

impl Count {
    pub(super) fn tell(&mut self, now: u64, register: impl FnOnce() -> Counter) {
        let counter = self.counter.get_or_insert_with(register);
        if now > self.told {
            counter.increment(now - self.told);
            self.told = now;
        }
    }
}
