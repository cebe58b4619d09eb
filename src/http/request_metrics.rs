//! Request metrics: the duration of requests, and the number of active requests.
//!
//! Input: requests and response heads. Output: records to the `metrics` facade. The first request
//! of a method, route and status requests a handle from the facade, which is kept, because
//! requesting one costs ten times as much as recording. Therefore a recorder that is installed
//! after the first request gets nothing; install it before serving.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::MatchedPath;
use hyper::{Method, Request, Response};
use metrics::{Gauge, Histogram};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

const DURATION: &str = "http_server_request_duration_seconds";
const ACTIVE: &str = "http_server_active_requests";

/// Route of a request that no route matched.
pub(crate) const UNMATCHED: &str = "_unmatched";

/// The methods of RFC 9110 and RFC 5789, and what stands for any other; the closed list of the
/// OpenTelemetry conventions.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER"];

/// A layer that measures the routes of the router it is put on, fallback included:
/// `http_server_request_duration_seconds` by method, route and status, and
/// `http_server_active_requests`, through the `metrics` facade.
///
/// The duration of a request ends when the head of its answer is ready, so that an event stream
/// counts with the time until it began; one whose client goes away before counts in neither. The
/// route is the [`MatchedPath`], such as `/orders/{id}`, so put it on with [`axum::Router::layer`],
/// after the routes:
///
/// ```
/// use axum::{Router, routing::get};
/// use vitalsign::http::RequestMetrics;
///
/// # async fn app(health: vitalsign::Health) -> Router {
/// Router::new()
///     .route("/orders/{id}", get(|| async { "an order" }))
///     .merge(health.router())
///     .layer(RequestMetrics::new())
/// # }
/// ```
///
/// The routes of [`Health`](crate::Health) are measured by it as the host's are, and also where
/// [`Builder::measure_requests`](crate::Builder::measure_requests) asks for it; with both, each request
/// is counted once. A
/// route that nothing matches is `_unmatched`, a method that no RFC knows `_OTHER`: both lists are
/// closed. Clones share their handles.
#[derive(Clone, Default)]
pub struct RequestMetrics {
    handles: Arc<Handles>,
    /// Whether only requests are measured that a layer further out measures too. This one then gives
    /// the route, which the one further out does not know within a nested service.
    within_another: bool,
}

impl fmt::Debug for RequestMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMetrics").finish_non_exhaustive()
    }
}

impl RequestMetrics {
    /// A layer that has asked for no handle yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer that measures nothing by itself: it names the routes to a layer further out.
    pub(crate) fn within_another() -> Self {
        Self { within_another: true, ..Self::default() }
    }

    /// Counts a request that was answered beside the layer.
    pub(crate) fn record<B, R>(
        &self,
        request: &Request<B>,
        route: &str,
        response: &mut Response<R>,
        duration: Duration,
    ) {
        let within = request.extensions().get::<Active>().is_some();
        if self.within_another && !within {
            return;
        }
        let (method, status) = (position(request.method()), response.status().as_u16());
        self.handles.record(method, route, status, duration.as_secs_f64());
        if within {
            response.extensions_mut().insert(Counted);
        }
    }
}

impl<S> Layer<S> for RequestMetrics {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        let handles = Arc::clone(&self.handles);
        Measured { inner, handles, within_another: self.within_another }
    }
}

/// The handles in use. Their number is bounded: by methods and routes, which are closed lists,
/// and by the statuses that handlers answer with.
#[derive(Default)]
struct Handles {
    active: OnceLock<Gauge>,
    durations: ArcSwap<HashMap<Box<str>, Vec<Entry>>>,
}

/// A handle with the position of its method and its status, within a route.
type Entry = (usize, u16, Histogram);

impl Handles {
    fn active(&self) -> &Gauge {
        self.active.get_or_init(|| metrics::gauge!(ACTIVE))
    }

    fn record(&self, method: usize, route: &str, status: u16, seconds: f64) {
        let durations = self.durations.load();
        let known = durations.get(route).and_then(|entries| find(entries, method, status));
        match known {
            Some(histogram) => histogram.record(seconds),
            None => self.add(method, route, status).record(seconds),
        }
    }

    #[cold]
    fn add(&self, method: usize, route: &str, status: u16) -> Histogram {
        let histogram = metrics::histogram!(
            DURATION,
            "http_request_method" => METHODS[method],
            "http_route" => route.to_owned(),
            "http_response_status_code" => status.to_string(),
        );
        self.durations.rcu(|durations| {
            let mut durations = HashMap::clone(durations);
            let entries = durations.entry(route.into()).or_default();
            if find(entries, method, status).is_none() {
                entries.push((method, status, histogram.clone()));
            }
            durations
        });
        histogram
    }
}

fn find(entries: &[Entry], method: usize, status: u16) -> Option<&Histogram> {
    entries.iter().find(|(m, s, _)| *m == method && *s == status).map(|(_, _, handle)| handle)
}

fn position(method: &Method) -> usize {
    let known = METHODS.iter().position(|known| *known == method.as_str());
    known.unwrap_or(METHODS.len() - 1)
}

/// On a request: a layer further out counts it as active.
#[derive(Clone, Copy)]
struct Active;

/// On an answer: a layer further in, which knows the route better, has counted the request.
#[derive(Clone, Copy)]
struct Counted;

/// A service that is measured; made by [`RequestMetrics`].
#[derive(Clone)]
pub struct Measured<S> {
    inner: S,
    handles: Arc<Handles>,
    within_another: bool,
}

impl<S: fmt::Debug> fmt::Debug for Measured<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measured").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Measured<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Measuring<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let started = Instant::now();
        let method = position(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let outermost = request.extensions().get::<Active>().is_none();
        let open = (!self.within_another || !outermost).then(|| {
            request.extensions_mut().insert(Active);
            Open::new(Arc::clone(&self.handles), outermost)
        });
        Measuring { inner: self.inner.call(request), started, method, route, open }
    }
}

/// A request being answered; dropping it takes it off the gauge, however it ended.
struct Open {
    handles: Arc<Handles>,
    /// Whether no layer further out counts it as active.
    outermost: bool,
}

impl Open {
    fn new(handles: Arc<Handles>, outermost: bool) -> Self {
        if outermost {
            handles.active().increment(1.0);
        }
        Self { handles, outermost }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.outermost {
            self.handles.active().decrement(1.0);
        }
    }
}

pin_project! {
    /// The answer to a request that is being measured.
    pub struct Measuring<F> {
        #[pin]
        inner: F,
        started: Instant,
        method: usize,
        route: Option<MatchedPath>,
        // None when it is not measured.
        open: Option<Open>,
    }
}

impl<F> fmt::Debug for Measuring<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measuring").field("route", &self.route).finish_non_exhaustive()
    }
}

impl<F, R, E> Future for Measuring<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let (Ok(response), Some(open)) = (&mut result, this.open.as_ref())
            && response.extensions().get::<Counted>().is_none()
        {
            let route = this.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
            let seconds = this.started.elapsed().as_secs_f64();
            let status = response.status().as_u16();
            open.handles.record(*this.method, route, status, seconds);
            if !open.outermost {
                response.extensions_mut().insert(Counted);
            }
        }
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests;
