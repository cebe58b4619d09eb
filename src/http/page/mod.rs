//! The HTML pages: `/`, a page for each check, and the badge.
//!
//! Pages are rendered on the server and work without JavaScript. `live.js` listens to `/events`,
//! and fetches the page again when something has changed, so all HTML is rendered here. Links are
//! relative, so that the pages work under any path.
//!
//! The overview is rendered off the async threads, one at a time, and cached for a second unless a
//! status changes; so many readers cost as much as one.

mod assets;
mod badge;
mod bars;
mod check;
mod curve;
mod failures;
mod past;
mod reply;
#[cfg(test)]
mod samples;
mod summary;
mod text;
mod view;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::openapi::{DocumentedRouter, live};
use super::problem::{PROBLEM_JSON, Problem};
use crate::http::accept::{self, Media};
use crate::http::access::Refused;
use crate::http::reply::refused;
use crate::http::routes::Routes;
use crate::model::Trace;
use check::CheckPage;
use past::{CheckPast, Past, Range};
use reply::Body;
use view::{Cx, Missing, Overview};

/// How long an overview may be served again while no status changes.
const FRESH: Duration = Duration::from_secs(1);

/// Longer texts in a query are ignored: the pages do not create them.
const LONGEST: usize = 256;

const HTML: Media<'_> = Media::new("text/html");
const PROBLEM: Media<'_> = Media::new(PROBLEM_JSON);

/// Parameter of the query by which a reader asks for details; its value is the check to come back to.
const DETAILS: &str = "details";

/// The pages and what they load.
pub(super) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    let pages =
        Pages { routes: Arc::clone(routes), kept: <[Mutex<Option<CachedOverview>>; 2]>::default() };
    DocumentedRouter::new()
        .route("/", get(overview), live::overview())
        .route("/checks/{check}", get(check), live::check())
        .route("/badge/{badge}", get(badge), live::badge())
        .route("/assets/{asset}", get(asset), live::asset())
        .with_state(Arc::new(pages))
}

/// What the pages share.
struct Pages {
    routes: Arc<Routes>,
    /// The overview last made, without and with details.
    kept: [Mutex<Option<CachedOverview>>; 2],
}

/// An overview as it was made.
struct CachedOverview {
    base: String,
    changes: u64,
    at: Instant,
    body: Body,
}

async fn overview(
    State(pages): State<Arc<Pages>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    let details = match pages.routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => details,
        Err(why) => return refused(why),
    };
    let base = base(uri.path());
    if let Some(check) = asked(&uri, DETAILS) {
        if details {
            return pages.back(&base, &check);
        }
        if pages.routes.guard.asks_for_token(request.extensions()) {
            // The only way to have a browser ask its user for a password.
            return refused(Refused::Unauthorized);
        }
    }
    let number = asked(&uri, "page").and_then(|number| number.parse().ok()).unwrap_or(1);
    let made = if number == 1 {
        pages.newest(base, details).await
    } else {
        pages.make(base, details, number).await
    };
    page_or_problem(made, request.headers())
}

async fn check(
    State(pages): State<Arc<Pages>>,
    OriginalUri(uri): OriginalUri,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let details = match pages.routes.guard.shows_details(headers, request.extensions()) {
        Ok(details) => details,
        Err(why) => return refused(why),
    };
    // A name that is not UTF-8 belongs to no check.
    let view = name.ok().and_then(|Path(name)| pages.routes.state.check(&name));
    let Some(view) = view else { return pages.missing(headers).await };
    let now = SystemTime::now();
    let range = Range::named(asked(&uri, "range").as_deref());
    let (history, after) = (pages.routes.health.history(), asked(&uri, "after"));
    let past = CheckPast::read(history, &view.info.name, range, after, now).await;
    let made = pages.blocking("../".to_owned(), details, now, move |routes, cx| {
        let cx = Cx { check: Some(&view.info.name), ..*cx };
        CheckPage::new(&view, routes.state.service(), &past, range, &cx).render()
    });
    page_or_problem(made.await, headers)
}

async fn badge(
    State(pages): State<Arc<Pages>>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(name)) = name else { return Problem::no_such_check().into_response() };
    let view = name.strip_suffix(".svg").and_then(|name| pages.routes.state.check(name));
    let Some(view) = view else { return Problem::no_such_check().into_response() };
    match badge::Badge::new(&view.info.name, view.status).render() {
        Ok(picture) => reply::picture(picture),
        Err(_) => Problem::internal().into_response(),
    }
}

async fn asset(name: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Response {
    let Some(asset) = name.ok().and_then(|Path(name)| assets::find(&name)) else {
        return Problem::not_found().into_response();
    };
    reply::asset(Body::of(asset.body.clone(), asset.gzip.clone()), asset.media_type, &headers)
}

fn page_or_problem(made: Option<Body>, headers: &HeaderMap) -> Response {
    made.map_or_else(|| Problem::internal().into_response(), |body| reply::page(body, headers))
}

impl Pages {
    /// The first page of the overview, made again when it is not fresh.
    async fn newest(self: &Arc<Self>, base: String, details: bool) -> Option<Body> {
        let mut kept = self.kept[usize::from(details)].lock().await;
        // Asked before it is made: a change meanwhile makes it old at once.
        let changes = self.routes.state.changes();
        let fresh = |made: &&CachedOverview| {
            made.base == base && made.changes == changes && made.at.elapsed() < FRESH
        };
        if let Some(made) = kept.as_ref().filter(fresh) {
            return Some(made.body.clone());
        }
        let body = self.make(base.clone(), details, 1).await?;
        *kept = Some(CachedOverview { base, changes, at: Instant::now(), body: body.clone() });
        Some(body)
    }

    async fn make(&self, base: String, details: bool, number: usize) -> Option<Body> {
        let past = Past::read(self.routes.health.history()).await;
        self.blocking(base, details, SystemTime::now(), move |routes, cx| {
            Overview::new(&routes.state.snapshot(), &past, number, cx).render()
        })
        .await
    }

    /// Leads a reader who has come to give the token back to the page of `check`, or else to the
    /// overview. It must be a check that there is: nobody is to be led elsewhere.
    fn back(&self, base: &str, check: &str) -> Response {
        let page =
            if self.routes.state.knows(check) { format!("checks/{check}") } else { String::new() };
        (StatusCode::SEE_OTHER, [(LOCATION, format!("{base}{page}"))]).into_response()
    }

    async fn missing(&self, headers: &HeaderMap) -> Response {
        if !accept::prefers(headers, HTML, PROBLEM) {
            return Problem::no_such_check().into_response();
        }
        let made = self.blocking("../".to_owned(), false, SystemTime::now(), |routes, cx| {
            Missing::new(routes.state.service(), cx).render()
        });
        (StatusCode::NOT_FOUND, page_or_problem(made.await, headers)).into_response()
    }

    /// Makes a page on a thread that may block: that of a fleet takes longer than a probe may wait.
    async fn blocking<F>(
        &self,
        base: String,
        details: bool,
        now: SystemTime,
        make: F,
    ) -> Option<Body>
    where
        F: FnOnce(&Routes, &Cx<'_>) -> askama::Result<String> + Send + 'static,
    {
        let routes = Arc::clone(&self.routes);
        let work = move || {
            let hour = |check: &str| routes.health.recent().hour(check, now);
            let trace = |id: &str| trace_link(&routes, id);
            let refused = routes.health.refused_reload().filter(|_| details);
            let cx = Cx {
                now,
                details,
                sign_in: !details && routes.guard.takes_token(),
                check: None,
                refused: refused.as_deref(),
                base: &base,
                // It names hosts and ports, so nobody else is led to it.
                metrics: details && routes.health.has_metrics_page(),
                hour: &hour,
                trace: &trace,
            };
            make(&routes, &cx).map(Body::new).ok()
        };
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }
}

fn trace_link(routes: &Routes, id: &str) -> Option<String> {
    let trace_id = u128::from_str_radix(id, 16).ok()?;
    routes.state.trace_link(&Trace { trace_id, span_id: 0, sampled: false })
}

/// From the overview at `path` to the root that it lies under, relative and ending in a slash.
fn base(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((_, last)) if !last.is_empty() => format!("./{last}/"),
        _ => "./".to_owned(),
    }
}

/// The first value of `key` in the query.
fn asked(uri: &Uri, key: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    let mut named = pairs.filter(|(name, value)| name == key && value.len() <= LONGEST);
    named.next().map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests;
