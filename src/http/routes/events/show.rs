//! Encodes the events of a stream, and caches the summary that all streams share.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use serde::Serialize;

use crate::engine::state::HealthState;
use crate::events::{Feed, FeedPosition};
use crate::http::reply::time;
use crate::model::{Reason, ServiceStatus, Status, Transition};

/// Milliseconds after which a client that lost its stream is to come back.
const RETRY_MS: u32 = 2_000;

/// A rendered `summary` event at one feed position. It has no details, so all clients share it.
#[derive(Debug)]
pub(super) struct Summary {
    /// It includes every change before this position; later changes may be included.
    pub(super) mark: FeedPosition,
    changes: u64,
    pub(super) event: Bytes,
}

#[derive(Serialize)]
struct SummaryBody<'a> {
    status: ServiceStatus,
    live: bool,
    ready: bool,
    started: bool,
    since: String,
    checks: BTreeMap<&'a str, Status>,
}

/// The latest summary: rendered when the first stream needs it, and shared by all of them.
#[derive(Debug, Default)]
pub(crate) struct Summaries(Mutex<Option<Arc<Summary>>>);

impl Summaries {
    /// The current state as the body of a summary.
    pub(super) fn current(&self, state: &HealthState, feed: &Feed) -> Arc<Summary> {
        let (now, changes) = (feed.mark(), state.changes());
        self.shared(state, feed, |latest| latest.mark == now && latest.changes == changes)
    }

    /// The summary of this round or a later one, which has every change before `position`.
    pub(super) fn of(
        &self,
        state: &HealthState,
        feed: &Feed,
        round: u64,
        position: u64,
    ) -> Arc<Summary> {
        self.shared(state, feed, |latest| {
            latest.mark.round >= round && latest.mark.position >= position
        })
    }

    fn shared(
        &self,
        state: &HealthState,
        feed: &Feed,
        serves: impl FnOnce(&Summary) -> bool,
    ) -> Arc<Summary> {
        // A stream that comes meanwhile waits for the one that is being made instead of making another.
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(summary) if serves(summary) => Arc::clone(summary),
            _ => Arc::clone(latest.insert(Arc::new(Summary::now(state, feed)))),
        }
    }
}

impl Summary {
    fn now(state: &HealthState, feed: &Feed) -> Self {
        // First the mark: a change that comes meanwhile is then sent once more, not lost.
        let (mark, changes) = (feed.mark(), state.changes());
        let snapshot = state.snapshot();
        let whole = SummaryBody {
            status: snapshot.status,
            live: snapshot.live,
            ready: snapshot.ready,
            started: snapshot.started,
            since: time(snapshot.since),
            checks: snapshot.checks.iter().map(|c| (&*c.info.name, c.status)).collect(),
        };
        Self { mark, changes, event: event("summary", None, &whole) }
    }
}

#[derive(Serialize)]
struct Change<'a> {
    check: &'a str,
    from: Status,
    to: Status,
    at: String,
    #[serde(flatten)]
    cause: Option<TransitionCause<'a>>,
}

/// What only those with the right to details see of a change; each key may be null.
#[derive(Serialize)]
struct TransitionCause<'a> {
    reason: Option<Reason>,
    message: Option<&'a str>,
    trace_id: Option<String>,
}

/// A change of the status of `check`.
pub(super) fn change(check: &str, transition: &Transition, details: bool) -> Bytes {
    let change = Change {
        check,
        from: transition.from,
        to: transition.to,
        at: time(transition.at),
        cause: details.then(|| TransitionCause {
            reason: transition.reason,
            message: transition.message.as_deref(),
            trace_id: transition.trace.map(|t| t.trace_id_hex()),
        }),
    };
    event("status", Some(transition.id), &change)
}

/// Says that changes were not delivered, and how many where that is known.
pub(super) fn gap(missed: Option<u64>) -> Bytes {
    #[derive(Serialize)]
    struct Gap {
        missed: Option<u64>,
    }
    event("gap", None, &Gap { missed })
}

/// How a stream begins: when to come back, and the id that a client without one starts from, so
/// that it can resume even if it has seen no change yet. They belong to the event that follows.
pub(super) fn preamble(id: Option<u64>) -> Bytes {
    let mut text = format!("retry: {RETRY_MS}\n");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    text.into()
}

/// An event of the HTML standard's `text/event-stream`; JSON has no line ends of its own.
fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let mut text = String::new();
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    // Our own structs of texts, numbers and maps with text keys always serialize.
    let data = serde_json::to_string(data).unwrap_or_default();
    let _ = write!(text, "event: {name}\ndata: {data}\n\n");
    text.into()
}
