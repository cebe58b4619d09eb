//! A tower layer that observes the calls of an HTTP client.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use super::Observer;
use super::judge::reason_of_chain;
use super::observation::Observation;
use crate::engine::check::Failure;
use crate::model::Reason;

/// What the end of a call says about the dependency.
///
/// Any function from `Result<&Response<R>, &E>` to an [`Observation`] is one.
pub trait Classify<R, E> {
    /// Judges an answer's head, or the error in its place.
    fn classify(&self, result: Result<&Response<R>, &E>) -> Observation;
}

impl<F, R, E> Classify<R, E> for F
where
    F: Fn(Result<&Response<R>, &E>) -> Observation,
{
    fn classify(&self, result: Result<&Response<R>, &E>) -> Observation {
        self(result)
    }
}

/// A status of 500 and above is a failure with [`Reason::UnexpectedStatus`]; an error is one with
/// the reason of the I/O error in its chain of causes, or else [`Reason::Other`]. All else is good.
///
/// A 4xx is about the request, not about the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByStatus;

impl<R, E: Error + 'static> Classify<R, E> for ByStatus {
    fn classify(&self, result: Result<&Response<R>, &E>) -> Observation {
        result.map_or_else(|error| of_error(error), |answer| of_status(answer.status()))
    }
}

/// As [`ByStatus`], for services whose errors are boxed, as those of tower's own middleware are.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoxedErrors;

impl<R> Classify<R, BoxError> for BoxedErrors {
    fn classify(&self, result: Result<&Response<R>, &BoxError>) -> Observation {
        result.map_or_else(|error| of_error(&**error), |answer| of_status(answer.status()))
    }
}

fn of_status(status: StatusCode) -> Observation {
    if !status.is_server_error() {
        return Observation::Success;
    }
    Failure::new(Reason::UnexpectedStatus, format!("answered {}", status.as_u16())).into()
}

/// The texts of an error may hold a URL with what is secret in it, and are not shown.
fn of_error(error: &(dyn Error + 'static)) -> Observation {
    reason_of_chain(error).unwrap_or(Reason::Other).into()
}

/// Observes the calls of a client; see [`Observer::layer`].
///
/// The duration of a call ends with the head of its answer, and a call that is given up before
/// counts nothing. What counts as a failure is up to a [`Classify`], [`ByStatus`] by default:
///
/// ```
/// use hyper::{Request, Response, StatusCode};
/// use tower::{BoxError, ServiceBuilder, service_fn};
/// use vitalsign::observe::{BoxedErrors, Observation, Observer};
///
/// fn client(shop: Observer) {
///     let layer = shop.layer();
///     // Whose errors are boxed:
///     let layer = layer.classify(BoxedErrors);
///     # let call = |_: Request<()>| async { Ok::<_, BoxError>(Response::new(())) };
///     let client = ServiceBuilder::new().layer(layer).service(service_fn(call));
///     # let _ = client;
///     // Or with an opinion of one's own:
///     let layer = shop.layer().classify(|result: Result<&Response<()>, &BoxError>| match result {
///         Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => {
///             vitalsign::Reason::Overloaded.into()
///         }
///         _ => vitalsign::observe::Classify::classify(&BoxedErrors, result),
///     });
///     # let _ = layer;
/// }
/// ```
///
/// A client that is not a tower service, such as reqwest's, is observed with
/// [`Observer::call_with`].
#[derive(Debug, Clone)]
pub struct ObserveLayer<C = ByStatus> {
    observer: Observer,
    classify: C,
}

impl ObserveLayer {
    pub(super) fn new(observer: Observer) -> Self {
        Self { observer, classify: ByStatus }
    }
}

impl<C> ObserveLayer<C> {
    /// The same with another opinion on what a call says.
    pub fn classify<D>(self, classify: D) -> ObserveLayer<D> {
        ObserveLayer { observer: self.observer, classify }
    }
}

impl<S, C: Clone> Layer<S> for ObserveLayer<C> {
    type Service = Observe<S, C>;

    fn layer(&self, inner: S) -> Observe<S, C> {
        let (observer, classify) = (self.observer.clone(), self.classify.clone());
        Observe { inner, observer, classify }
    }
}

/// A client whose calls are observed; made by [`ObserveLayer`].
#[derive(Debug, Clone)]
pub struct Observe<S, C = ByStatus> {
    inner: S,
    observer: Observer,
    classify: C,
}

impl<S, C, B, R> Service<Request<B>> for Observe<S, C>
where
    S: Service<Request<B>, Response = Response<R>>,
    C: Classify<R, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Observing<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let started = Instant::now();
        let (observer, classify) = (self.observer.clone(), self.classify.clone());
        Observing { inner: self.inner.call(request), observer, classify, started }
    }
}

pin_project! {
    /// A call that is observed.
    pub struct Observing<F, C = ByStatus> {
        #[pin]
        inner: F,
        observer: Observer,
        classify: C,
        started: Instant,
    }
}

impl<F, C> fmt::Debug for Observing<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observing").field("observer", &self.observer).finish_non_exhaustive()
    }
}

impl<F, C, R, E> Future for Observing<F, C>
where
    F: Future<Output = Result<Response<R>, E>>,
    C: Classify<R, E>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let duration = this.started.elapsed();
        this.observer.record(this.classify.classify(result.as_ref()), duration);
        Poll::Ready(result)
    }
}
