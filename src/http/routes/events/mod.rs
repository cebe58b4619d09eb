//! The event stream: `/events`, status changes and summaries as server-sent events.
//!
//! Input: the [feed](crate::events) of changes, and the history for clients that were away for
//! long. Output: streams of events (`text/event-stream` of the HTML standard). There is no queue
//! per client: the next event is looked up when the client has read the last one.

mod show;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::openapi::{DocumentedRouter, live};
use crate::http::problem::Problem;
use crate::http::reply::refused;
use crate::http::routes::Routes;
use crate::http::server_context::ServerContext;
use stream::Events;

pub(crate) use show::Summaries;

/// Streams that may be open at once.
const MAX_STREAMS: usize = 256;

/// `Retry-After` in seconds for a client beyond the limit of streams.
const RETRY_AFTER: &str = "10";

/// Header that turns off buffering in nginx.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Header with the id of the last event that the client saw.
const LAST_EVENT_ID: &str = "last-event-id";

/// The route of the event stream.
pub(super) fn router(routes: &Arc<Routes>) -> DocumentedRouter {
    DocumentedRouter::new()
        .route("/events", get(events), live::events())
        .with_state(Arc::clone(routes))
}

async fn events(State(routes): State<Arc<Routes>>, request: Request) -> Response {
    let details = match routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => details,
        Err(why) => return refused(why),
    };
    let server = request.extensions().get::<Arc<ServerContext>>();
    let stopping = server.map(|server| server.stopping.clone()).unwrap_or_default();
    if stopping.is_cancelled() || routes.health.streams_closed().is_cancelled() {
        return later("the service is stopping");
    }
    // Streams alone never fill the server: probes and scrapes find a connection.
    let limit = server.map_or(MAX_STREAMS, |s| MAX_STREAMS.min(s.max_connections / 2));
    let Some(place) = routes.streams.place(limit) else {
        return later("too many event streams are open");
    };
    let events = Events::new(&routes, details, last_seen(&request), stopping, place);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(events.into_stream())).into_response()
}

/// 503, to be tried again.
fn later(detail: &'static str) -> Response {
    ([(header::RETRY_AFTER, RETRY_AFTER)], Problem::unavailable(detail)).into_response()
}

/// Id of the last event that the client saw, from its header, else from its query; `None` if that
/// cannot be read as an id.
fn last_seen(request: &Request) -> Option<u64> {
    if let Some(id) = request.headers().get(LAST_EVENT_ID) {
        return id.to_str().ok()?.trim().parse().ok();
    }
    let query = request.uri().query()?;
    let (_, id) =
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "last_event_id")?;
    id.parse().ok()
}

/// How many streams are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<AtomicUsize>);

impl Streams {
    /// A place among at most `limit`, until it is dropped.
    fn place(&self, limit: usize) -> Option<Place> {
        let one_more = |open: usize| (open < limit).then_some(open + 1);
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_| Place(self.clone()))
    }
}

/// A place among the open streams.
#[derive(Debug)]
struct Place(Streams);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_its_stream_has_ended() {
        let streams = Streams::default();
        let places: Vec<_> = (0..3).map(|_| streams.place(3)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(streams.place(3).is_none());
        assert!(streams.place(4).is_some(), "it was given back at once");
        drop(places);
        assert!(streams.place(1).is_some());
        assert!(streams.place(0).is_none());
    }

    #[test]
    fn the_last_id_comes_by_header_or_query_and_a_bad_one_is_ignored() {
        let seen = |uri: &str, header: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(header) = header {
                request = request.header(LAST_EVENT_ID, header);
            }
            last_seen(&request.body(Body::empty()).expect("a request"))
        };
        assert_eq!(seen("/events", None), None);
        assert_eq!(seen("/events", Some("17")), Some(17));
        assert_eq!(seen("/events?last_event_id=18", None), Some(18));
        assert_eq!(seen("/events?x=1&last_event_id=18", Some("17")), Some(17));
        for bad in ["", "-1", "seventeen", "99999999999999999999999", "1.5", "\u{7f}"] {
            assert_eq!(seen("/events?last_event_id=%00", Some("x")), None);
            let header = HeaderValue::from_str(bad).is_ok().then_some(bad);
            assert_eq!(seen("/events", header), None, "{bad}");
        }
    }
}
