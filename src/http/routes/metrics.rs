//! `/metrics`: the series of the checks and of the host, in the format that the client requests.
//! `telemetry/metrics/` renders the text.
//!
//! A page is rendered off the async threads, and once for all clients that request it at the same
//! time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use hyper::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::health::Health;
use crate::http::accept::{self, Media};
use crate::http::compression;
use crate::http::openapi::{DocumentedRouter, Operation, Token};
use crate::http::problem::Problem;
use crate::http::reply::refused;
use crate::http::routes::Routes;
use crate::http::single_flight::SingleFlight;
use crate::telemetry::metrics;
use crate::telemetry::metrics::Format;

/// Most memory that pages may hold in all until their clients have read them, in KiB: one page of
/// ten thousand checks is about 50 MiB.
const LIMIT_KIB: u32 = 256 * 1024;

/// The metrics route.
pub(super) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    let pages = Arc::new(Pages::new(routes.health.clone()));
    let answer = move |State(routes): State<Arc<Routes>>, request: Request| async move {
        let headers = request.headers();
        match routes.guard.scrapes(headers, request.extensions()) {
            Ok(()) => pages.answer(headers).await,
            Err(why) => refused(why),
        }
    };
    let page = "The page, compressed with gzip when that is asked for.";
    let operation = Operation::get("Metrics for Prometheus")
        .about("The checks' series and the process', in the format that `Accept` asks for.")
        .token(Token::Metrics)
        .answers_with::<String>(200, page, "text/plain")
        .answers_with::<String>(200, page, "application/openmetrics-text")
        .problem(401, "A token is needed, or it is wrong.")
        .problem(429, "Many wrong tokens came from there.")
        .problem(503, "Too many pages wait for their clients.");
    DocumentedRouter::new().route("/metrics", get(answer), operation).with_state(Arc::clone(routes))
}

/// The format of the page for these headers: OpenMetrics for clients that prefer it, else text, also
/// for those that accept neither.
fn format(headers: &HeaderMap) -> Format {
    let text = Media::new("text/plain").version("0.0.4");
    let open = Media::new("application/openmetrics-text").version("1.0.0");
    if accept::prefers(headers, open, text) { Format::OpenMetrics } else { Format::Text }
}

/// A page, or the status that says why there is none.
type PageResult = Result<Bytes, StatusCode>;

/// Rendering panicked.
const FAILED: PageResult = Err(StatusCode::INTERNAL_SERVER_ERROR);

/// What is being rendered and compressed.
struct Pages {
    health: Health,
    memory: Arc<Semaphore>,
    plain: [SingleFlight<PageResult>; 2],
    gzip: [SingleFlight<PageResult>; 2],
}

impl Pages {
    fn new(health: Health) -> Self {
        let memory = Arc::new(Semaphore::new(LIMIT_KIB as usize));
        Self { health, memory, plain: Default::default(), gzip: Default::default() }
    }

    async fn answer(self: &Arc<Self>, headers: &HeaderMap) -> Response {
        let format = format(headers);
        let gzip = compression::AVAILABLE && accept::gzip(headers);
        let made = if gzip { self.gzip(format).await } else { self.plain(format).await };
        match made {
            Ok(page) => {
                let kind =
                    [(CONTENT_TYPE, format.content_type()), (VARY, "Accept, Accept-Encoding")];
                let encoding = gzip.then_some([(CONTENT_ENCODING, "gzip")]);
                (kind, encoding, page).into_response()
            }
            Err(StatusCode::SERVICE_UNAVAILABLE) => {
                let problem = Problem::unavailable("too many pages wait for their clients");
                problem.retry_after(5).into_response()
            }
            Err(_) => Problem::internal().into_response(),
        }
    }

    async fn plain(self: &Arc<Self>, format: Format) -> PageResult {
        let render = || {
            let pages = Arc::clone(self);
            off_the_async_threads(move || {
                let state = pages.health.state();
                let page = metrics::render(state, pages.health.exporter(), format);
                pages.keep(page)
            })
        };
        self.plain[format as usize].share(render).await.unwrap_or(FAILED)
    }

    async fn gzip(self: &Arc<Self>, format: Format) -> PageResult {
        let start = || {
            let pages = Arc::clone(self);
            async move {
                let page = pages.plain(format).await?;
                let compress = move || {
                    let small =
                        compression::gzip(&page).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
                    // Its memory may be what the other needs.
                    drop(page);
                    pages.keep(small)
                };
                off_the_async_threads(compress).await
            }
        };
        self.gzip[format as usize].share(start).await.unwrap_or(FAILED)
    }

    /// Counts `page` against the bound for as long as anybody holds it.
    fn keep(&self, page: Vec<u8>) -> PageResult {
        let size = u32::try_from(page.len() / 1024).unwrap_or(u32::MAX).clamp(1, LIMIT_KIB);
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(size);
        let permit = permit.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        Ok(Bytes::from_owner(PageInMemory { page, _permit: permit }))
    }
}

struct PageInMemory {
    page: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for PageInMemory {
    fn as_ref(&self) -> &[u8] {
        &self.page
    }
}

/// Runs `work` on a thread that may block; a panic in it is passed on to the single flight.
async fn off_the_async_threads(work: impl FnOnce() -> PageResult + Send + 'static) -> PageResult {
    match tokio::task::spawn_blocking(work).await {
        Ok(made) => made,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody will read it.
            Err(_) => FAILED,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue, RETRY_AFTER};

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn openmetrics_is_for_those_who_prefer_it() {
        const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for lines in [
            &[PROMETHEUS][..],
            &["application/openmetrics-text"],
            &["application/openmetrics-text; version=\"1.0.0\"; charset=utf-8"],
            &["application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.9,*/*;q=0.8"],
            &["text/plain;q=0.3", "APPLICATION/openmetrics-text;q=0.4"],
            &["application/openmetrics-text, text/plain"],
            &["application/openmetrics-text, */*"],
            &["text/plain;q=0, */*"],
        ] {
            assert_eq!(format(&headers(lines)), Format::OpenMetrics, "{lines:?}");
        }
    }

    #[test]
    fn text_is_for_everybody_else() {
        for lines in [
            &[][..],
            &["*/*"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["text/plain"],
            &["text/plain, application/openmetrics-text"],
            &["application/openmetrics-text;q=0.5, text/plain;q=0.6"],
            &["application/openmetrics-text;version=2.0.0"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=nan"],
            &["application/openmetrics-text;q=-1"],
            &["application/json"],
            &["", ";;;=,/,*"],
        ] {
            assert_eq!(format(&headers(lines)), Format::Text, "{lines:?}");
        }
    }

    #[tokio::test]
    async fn pages_that_are_still_read_are_bounded_in_memory() {
        let health = Health::builder("test").build().expect("no checks");
        let pages = Arc::new(Pages::new(health));
        let mut zipped = HeaderMap::new();
        zipped.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));

        let others = pages.memory.try_acquire_many(LIMIT_KIB).expect("all of it");
        for headers in [&HeaderMap::new(), &zipped] {
            let refused = pages.answer(headers).await;
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(refused.headers()[RETRY_AFTER], "5");
        }
        drop(others);
        for headers in [&HeaderMap::new(), &zipped] {
            let answer = pages.answer(headers).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let page = answer.into_body().collect().await.expect("a page").to_bytes();
            assert_ne!(pages.memory.available_permits(), LIMIT_KIB as usize, "it is held");
            drop(page);
            // The single flight drops its own copy a moment after it has answered.
            while pages.memory.available_permits() != LIMIT_KIB as usize {
                tokio::task::yield_now().await;
            }
        }
    }
}
