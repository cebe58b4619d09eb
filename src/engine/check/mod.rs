//! The interface between a check and the engine: the trait [`Check`], and the [`Context`] of a run.
//!
//! [`Check::run`] is one attempt. It gets a [`Context`] and returns a [`Detail`] (the dependency
//! answered) or a [`Failure`] (it did not, with the reason). The engine does everything else: it
//! measures the time, counts, cancels at the deadline, traces, and turns outcomes into a status.
//!
//! ```
//! use std::time::Duration;
//! use vitalsign::{every, Failure, Reason};
//!
//! let queue = every(Duration::from_secs(5)).from_fn(|| async {
//!     let waiting = 3;
//!     if waiting < 1_000 { Ok(()) } else { Err(Failure::new(Reason::OutOfRange, "queue is full")) }
//! });
//! # let _ = queue;
//! ```

mod closure;
mod declare;
mod depends;
mod failure;
mod heartbeat;
mod into_failure;
mod manual;
mod names;
#[cfg(any(feature = "http", feature = "reqwest-client"))]
mod status;
#[cfg(any(feature = "reqwest-client", feature = "sql-pool"))]
mod tls_text;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Injector, TextMapPropagator};
use tokio::time::Instant;
use tracing::Instrument;

use crate::engine::traces;
use crate::model::{Measurement, Phase, Server};

pub use closure::{from_fn, from_fn_cx, from_fn_with};
pub use declare::{Declared, Options, every, secs};
pub(crate) use depends::cycles;
pub use failure::Failure;
#[cfg(any(feature = "redis-client", feature = "reqwest-client", feature = "tls"))]
pub(crate) use failure::brief;
pub(crate) use failure::{causes, error_text};
pub use heartbeat::Heartbeat;
pub(crate) use heartbeat::Signal;
#[cfg(feature = "config")]
pub(crate) use heartbeat::{AGE as HEARTBEAT_AGE, Schedule};
pub use into_failure::{IntoFailure, marker};
pub use manual::Manual;
#[cfg(feature = "config")]
pub(crate) use names::{MAX_NAME, RESERVED_NAMES, has_label_form, is_reserved_label};
pub(crate) use names::{has_kind_form, has_name_form};
pub use names::{is_check_name, is_label_name};
#[cfg(any(feature = "http", feature = "reqwest-client"))]
pub(crate) use status::unexpected_status;
#[cfg(any(feature = "reqwest-client", feature = "sql-pool"))]
pub(crate) use tls_text::reason_of_tls_text;

/// A test of one dependency.
///
/// `run` is one attempt: it must not sleep, retry, count, log or measure its own time. It may be
/// dropped at any await, at its deadline or at shutdown, and must then free its resources. It must
/// open at most one connection at a time, and limit what it reads.
#[async_trait]
pub trait Check: Send + Sync + 'static {
    /// Name of the kind, the `kind` label: lower-case letters, digits and `_`.
    fn kind(&self) -> &'static str;

    /// The address of the dependency, if there is one; never with credentials.
    fn server(&self) -> Option<Server> {
        None
    }

    /// Warnings about options that are allowed but probably wrong, with advice:
    /// `vitalsign validate` prints them, and the service logs them at the start.
    fn caveat(&self) -> Option<&'static str> {
        None
    }

    /// The check as a [`Heartbeat`], when it waits for heartbeats instead of asking: it gets those of
    /// `/heartbeat/{check}`, and one that changes what is shown triggers a run at once.
    fn heartbeat(&self) -> Option<&Heartbeat> {
        None
    }

    /// The check as a [`Manual`], when the host sets its status: it is then never run by the clock.
    fn manual(&self) -> Option<&Manual> {
        None
    }

    /// Makes one attempt.
    ///
    /// # Errors
    /// A [`Failure`] whose reason is from the fixed list and whose message contains no secret.
    async fn run(&self, cx: &Context) -> Result<Detail, Failure>;
}

/// The result of a run that got an answer: a success with an optional message, or a warning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    pub(crate) caveat: Option<String>,
    /// The message of a successful run.
    pub(crate) note: Option<String>,
}

impl Detail {
    /// It answered as it should.
    #[must_use]
    pub const fn ok() -> Self {
        Self { caveat: None, note: None }
    }

    /// It answered as it should, with this message.
    pub(crate) const fn noted(note: Option<String>) -> Self {
        Self { caveat: None, note }
    }

    /// It answered, with a warning text for people.
    pub fn warning(caveat: impl Into<String>) -> Self {
        Self { caveat: Some(caveat.into()), note: None }
    }
}

impl From<()> for Detail {
    fn from((): ()) -> Self {
        Self::ok()
    }
}

/// The context of one run: its deadline, phases, measurements and trace.
///
/// Clones are of the same run. What is noted after its end is lost.
#[derive(Clone)]
pub struct Context {
    /// Whether the run has spans.
    traced: bool,
    inner: Arc<Inner>,
}

struct Inner {
    deadline: Instant,
    propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
    observed: Mutex<RunMeasurements>,
}

/// What a run has recorded so far; it is also available after the run was cancelled.
#[derive(Debug, Default)]
pub(crate) struct RunMeasurements {
    pub(crate) phases: Vec<(Phase, Duration)>,
    pub(crate) current: Option<Phase>,
    pub(crate) measurements: Vec<(&'static Measurement, f64)>,
    /// How long what was asked about took, if that is not the time that asking took.
    pub(crate) took: Option<Duration>,
    /// Whether a failure decides on its own, whatever the threshold.
    pub(crate) decides_at_once: bool,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

impl Context {
    /// A context whose run must end by `deadline`; without a propagator no trace context is sent.
    #[must_use]
    pub fn new(
        deadline: Instant,
        propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
    ) -> Self {
        let inner = Inner { deadline, propagator, observed: Mutex::default() };
        Self { traced: true, inner: Arc::new(inner) }
    }

    /// The same, of a run that has spans or has none.
    pub(crate) fn traced(self, traced: bool) -> Self {
        Self { traced, ..self }
    }

    /// When the run is cancelled.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.inner.deadline
    }

    /// Time left until then.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.inner.deadline.saturating_duration_since(Instant::now())
    }

    /// Awaits `step` as `phase` of the run: its duration becomes a metric and an event of the span.
    /// [`Phase::named`] makes a phase of any name.
    ///
    /// A phase passed more than once, as when a redirect is followed, adds up.
    pub async fn phase<F: Future>(&self, phase: Phase, step: F) -> F::Output {
        self.observed().current = Some(phase);
        let started = Instant::now();
        let output = step.await;
        let took = started.elapsed();
        traces::phase_ended(phase, took.as_secs_f64());
        let mut observed = self.observed();
        observed.current = None;
        match observed.phases.iter_mut().find(|(p, _)| *p == phase) {
            Some((_, sum)) => *sum += took,
            None => observed.phases.push((phase, took)),
        }
        output
    }

    /// Records a measurement of this run; it is kept even if the run then fails.
    /// [`Measurement::gauge`] and [`Measurement::counter`] make figures of any name.
    pub fn measure(&self, measurement: &'static Measurement, value: f64) {
        let mut observed = self.observed();
        observed.measurements.retain(|(m, _)| *m != measurement);
        observed.measurements.push((measurement, value));
    }

    /// Makes `duration`, up to now, that of the run: a job's own instead of the time it took to look
    /// at it.
    pub(crate) fn took(&self, duration: Duration) {
        self.observed().took = Some(duration);
    }

    /// Makes a failure of this run decide on its own, whatever the threshold.
    pub(crate) fn decides_at_once(&self) {
        self.observed().decides_at_once = true;
    }

    /// Awaits `call` inside a CLIENT span named and described by its protocol's conventions.
    ///
    /// The span is an error when the call fails without having been [answered](Failure::answered),
    /// or is cancelled.
    ///
    /// # Errors
    /// Those of `call`.
    pub async fn client<T, F>(
        &self,
        name: &str,
        attributes: Vec<KeyValue>,
        call: F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let client = if self.traced {
            traces::Client::open(name, attributes)
        } else {
            traces::Client::none()
        };
        let result = call.instrument(client.span().clone()).await;
        client.finish(result.as_ref().err().filter(|f| !f.answered).map(|f| f.reason));
        result
    }

    /// Adds an attribute to the innermost open span of the run.
    pub fn attribute(&self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        traces::attribute(key, value);
    }

    /// Writes the trace context of the innermost open span into `carrier`, unless the check was
    /// configured not to propagate it.
    pub fn inject(&self, carrier: &mut dyn Injector) {
        if let Some(propagator) = &self.inner.propagator {
            traces::inject(propagator.as_ref(), carrier);
        }
    }

    /// Locks the notes; a panic elsewhere in the run cannot leave them half-written.
    fn observed(&self) -> std::sync::MutexGuard<'_, RunMeasurements> {
        self.inner.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the notes at the end of the run.
    pub(crate) fn take_observed(&self) -> RunMeasurements {
        std::mem::take(&mut *self.observed())
    }
}

#[async_trait]
impl Check for Arc<dyn Check> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn server(&self) -> Option<Server> {
        (**self).server()
    }

    fn caveat(&self) -> Option<&'static str> {
        (**self).caveat()
    }

    fn heartbeat(&self) -> Option<&Heartbeat> {
        (**self).heartbeat()
    }

    fn manual(&self) -> Option<&Manual> {
        (**self).manual()
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        (**self).run(cx).await
    }
}
