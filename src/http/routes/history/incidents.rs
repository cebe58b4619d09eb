//! `/status/incidents`: when checks were not up, and why.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::Serialize;

use super::{Time, answer, json, problem_of, refused, time, with_problems};
use crate::engine::check::is_check_name;
use crate::engine::state::HealthState;
use crate::history::{self, IncidentFilter};
use crate::http::Routes;
use crate::http::openapi::{DocumentedRouter, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::model::{Reason, Status, Trace};

/// Incidents of one page, when no number is asked for and at most.
const USUAL_LIMIT: usize = 50;
const MOST: usize = 500;

pub(super) fn router() -> DocumentedRouter<Arc<Routes>> {
    let operation = Operation::get("When checks were not up")
        .about("Newest first, in pages. Of checks that are gone too, as long as they are kept.")
        .takes(&[
            Parameter::query::<String>("check", "Those of this check alone."),
            time("from", "Those that had not ended by then."),
            time("to", "Those that had begun by then."),
            Parameter::query::<usize>("limit", "Most of one page, from 1 to 500. By default 50."),
            Parameter::query::<String>("after", "The `next` of the page before."),
        ])
        .answers::<Page<'_>>(200, "A page.");
    let operation = with_problems(operation).problem(404, "No history is kept.");
    DocumentedRouter::new().route("/status/incidents", get(incidents), operation)
}

/// A page of incidents, newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "Incidents"))]
struct Page<'a> {
    /// The incidents, by start.
    incidents: Vec<Incident<'a>>,
    /// Where the next page begins, for `after`; null on the last.
    next: Option<&'a str>,
}

/// A period in which a check was not up.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
struct Incident<'a> {
    /// Name of the check.
    check: &'a str,
    /// The worst status that the check had in it.
    status: Status,
    /// When it stopped being up.
    start: Time,
    /// When it was up again; null while it is not.
    end: Option<Time>,
    #[serde(flatten)]
    cause: Option<IncidentCause<'a>>,
}

/// What only those with the right to details see of an incident; each key may be null.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "IncidentCause"))]
struct IncidentCause<'a> {
    /// Reason of the run that made it as bad as it was. A detail.
    reason: Option<Reason>,
    /// Message of that run, for people. A detail.
    message: Option<&'a str>,
    /// Trace of that run, 32 hexadecimal digits, if it is kept. A detail.
    trace_id: Option<&'a str>,
    /// URL of that trace, if `trace_url` is configured. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    trace_url: Option<String>,
}

impl<'a> Incident<'a> {
    fn of(incident: &'a history::Incident, state: &HealthState, details: bool) -> Self {
        let trace_id = incident.trace_id.as_deref();
        let cause = || IncidentCause {
            reason: incident.reason,
            message: incident.message.as_deref(),
            trace_id,
            trace_url: trace_id.and_then(|id| trace_url(state, id)),
        };
        Self {
            check: &incident.check,
            status: incident.worst,
            start: Time(incident.start),
            end: incident.end.map(Time),
            cause: details.then(cause),
        }
    }
}

/// URL of the trace with this id.
fn trace_url(state: &HealthState, trace_id: &str) -> Option<String> {
    let trace_id = u128::from_str_radix(trace_id, 16).ok()?;
    // The span does not matter, and only kept traces come with an id.
    state.trace_link(&Trace { trace_id, span_id: 0, sampled: true })
}

async fn incidents(State(routes): State<Arc<Routes>>, request: Request) -> Response {
    let details = match routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => details,
        Err(why) => return refused(why),
    };
    let query = Query::of(request.uri());
    answer(read(&routes, &query, details).await)
}

async fn read(routes: &Routes, query: &Query, details: bool) -> Result<Response, Problem> {
    let history = routes.past()?;
    let page = history.incidents(&filter(query)?).await.map_err(|e| problem_of(&e))?;
    let incidents =
        page.incidents.iter().map(|incident| Incident::of(incident, &routes.state, details));
    Ok(json(Page { incidents: incidents.collect(), next: page.next.as_deref() }))
}

/// Which incidents are asked for.
fn filter(query: &Query) -> Result<IncidentFilter, Problem> {
    let check = query.text("check").map(str::to_owned);
    if check.as_deref().is_some_and(|name| !is_check_name(name)) {
        return Err(Problem::bad_parameter("check", "the name of a check"));
    }
    let (from, to) = (query.time("from")?, query.time("to")?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::bad_parameter("from", "a time that is not after `to`"));
    }
    let after = query.text("after").map(str::to_owned);
    let limit = query.count("limit", MOST)?.unwrap_or(USUAL_LIMIT);
    Ok(IncidentFilter { check, from, to, after, limit })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;
    use crate::health::Health;

    fn read(query: &str) -> Result<IncidentFilter, Problem> {
        filter(&Query::of(&format!("/?{query}").parse().expect("a path with a query")))
    }

    #[test]
    fn fifty_of_every_check_are_listed_unless_others_are_asked_for() {
        let all = read("").expect("nothing is asked");
        assert_eq!(
            (all.check, all.from, all.to, all.after, all.limit),
            (None, None, None, None, 50)
        );
        let some =
            "check=cache_2&from=1970-01-01T00:01:00Z&to=1970-01-01T00:01:00Z&limit=500&after=a%20b";
        let some = read(some).expect("all is well");
        assert_eq!(some.check.as_deref(), Some("cache_2"));
        let minute = Some(UNIX_EPOCH + Duration::from_mins(1));
        assert_eq!((some.from, some.to), (minute, minute));
        assert_eq!((some.after.as_deref(), some.limit), (Some("a b"), 500));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_name_and_without_an_echo() {
        for (query, detail) in [
            ("check=", "`check` must be the name of a check"),
            ("check=Sneaky", "`check` must be the name of a check"),
            ("check=a%00", "`check` must be the name of a check"),
            ("check=incidents", "`check` must be the name of a check"),
            ("limit=0", "`limit` must be a whole number from 1 to 500"),
            ("limit=501", "`limit` must be a whole number from 1 to 500"),
            (
                "from=1970-01-01T00:01:00Z&to=1970-01-01T00:00:00Z",
                "`from` must be a time that is not after `to`",
            ),
        ] {
            assert_eq!(read(query).expect_err(query).to_string(), detail);
        }
    }

    /// An incident as JSON, where traces can be looked at or not.
    async fn shown(incident: history::Incident, trace_url: Option<&str>, details: bool) -> Value {
        let mut health = Health::builder("orders");
        if let Some(template) = trace_url {
            health = health.trace_url(template);
        }
        let health = health.build().expect("no checks");
        let shown = Incident::of(&incident, health.state(), details);
        tokio::task::yield_now().await;
        serde_json::to_value(shown).expect("JSON")
    }

    fn incident() -> history::Incident {
        history::Incident {
            check: "cache".to_owned(),
            start: UNIX_EPOCH,
            end: Some(UNIX_EPOCH + Duration::from_millis(1500)),
            worst: Status::Down,
            reason: Some(Reason::Timeout),
            message: Some("no answer within 2 s".to_owned()),
            trace_id: Some(format!("{:032x}", 0xab)),
        }
    }

    #[tokio::test]
    async fn an_incident_reads_as_the_document_says() {
        let id = "000000000000000000000000000000ab";
        let mut expected = json!({
            "check": "cache", "status": "down",
            "start": "1970-01-01T00:00:00.000Z", "end": "1970-01-01T00:00:01.500Z",
            "reason": "timeout", "message": "no answer within 2 s", "trace_id": id,
        });
        assert_eq!(shown(incident(), None, true).await, expected);
        expected["trace_url"] = format!("http://tempo/trace/{id}").into();
        assert_eq!(shown(incident(), Some("http://tempo/trace/{trace_id}"), true).await, expected);
    }

    #[tokio::test]
    async fn without_the_right_to_details_their_keys_are_absent() {
        let open = history::Incident { end: None, worst: Status::Degraded, ..incident() };
        let expected = json!({
            "check": "cache", "status": "degraded",
            "start": "1970-01-01T00:00:00.000Z", "end": null,
        });
        assert_eq!(shown(open, Some("http://tempo/{trace_id}"), false).await, expected);
    }

    #[tokio::test]
    async fn with_the_right_every_key_is_there_null_where_nothing_is_known() {
        let bare = history::Incident { reason: None, message: None, trace_id: None, ..incident() };
        let shown = shown(bare, Some("http://tempo/{trace_id}"), true).await;
        assert_eq!(shown["reason"], Value::Null);
        let keys: Vec<_> = shown.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["check", "end", "message", "reason", "start", "status", "trace_id"]);
    }
}
