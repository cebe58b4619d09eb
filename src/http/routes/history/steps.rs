//! `/status/{check}/history`: how a check was, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::Serialize;

use super::{Time, answer, json, problem_of, refused, time, with_problems};
use crate::config::Period;
use crate::history;
use crate::http::Routes;
use crate::http::openapi::{DocumentedRouter, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::model::{Reason, Status};

const DAY: Duration = Duration::from_hours(24);

/// The history is kept by the minute, so that no step can be shorter or lie between.
const MINUTE: Duration = Duration::from_mins(1);

/// Most steps of one answer.
const MOST_STEPS: u128 = 2_000;

/// Steps that an answer has at most when none was asked for: a chart's worth.
const USUAL_STEPS: u128 = 100;

/// Minutes of the steps to choose from when none was asked for.
const USUAL: [u64; 14] =
    [1, 2, 5, 10, 15, 30, 60, 2 * 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60, 2 * 24 * 60, 7 * 24 * 60];

pub(super) fn router() -> DocumentedRouter<Arc<Routes>> {
    let about = "From `from` up to `to` in steps of `step`, each of them there whether it had runs \
                 or not. `reasons` are details.";
    let operation = Operation::get("How a check was, step by step").about(about).takes(&[
        Parameter::CHECK,
        time("from", "Start, rounded down to the minute. By default 24 hours before `to`."),
        time("to", "End. By default now."),
        Parameter::query::<Period>(
            "step",
            "Whole minutes, not so short that there are more than 2,000 steps. By default such \
             that there are about a hundred at most.",
        ),
    ]);
    let operation = with_problems(operation.answers::<Past<'_>>(200, "The steps, oldest first."))
        .problem(404, "There is no check of this name, or no history is kept.");
    DocumentedRouter::new().route("/status/{check}/history", get(steps), operation)
}

/// How a check was, step by step.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "CheckHistory"))]
struct Past<'a> {
    /// Name of the check.
    check: &'a str,
    /// Start of the first step.
    from: Time,
    /// Where the last step is cut, if it does not end before.
    to: Time,
    /// Length of a step.
    step_seconds: u64,
    /// How many runs failed for which reason in all steps together; empty where none did. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "BTreeMap<Reason, u64>"))]
    reasons: Option<BTreeMap<Reason, u64>>,
    /// The steps, oldest first.
    steps: Vec<HistoryStep>,
}

/// The runs of a check that started within one step of time.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "HistoryStep"))]
struct HistoryStep {
    /// Start of the step.
    at: Time,
    /// Runs of any outcome.
    runs: u64,
    /// Good ones among them.
    good: u64,
    /// Median duration; null without runs.
    p50_seconds: Option<f64>,
    /// 95th percentile of the durations; null without runs.
    p95_seconds: Option<f64>,
    /// Longest duration; null without runs.
    max_seconds: Option<f64>,
    /// Worst status that the check had within the step; null where nothing was recorded.
    status: Option<Status>,
    /// How many runs failed for which reason within the step; empty where none did. A detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "BTreeMap<Reason, u64>"))]
    reasons: Option<BTreeMap<Reason, u64>>,
}

impl HistoryStep {
    fn of(step: history::Step, details: bool) -> Self {
        let [p50_seconds, p95_seconds, max_seconds] =
            [step.p50, step.p95, step.max].map(|d| d.as_ref().map(Duration::as_secs_f64));
        Self {
            at: Time(step.at),
            runs: step.runs,
            good: step.good,
            p50_seconds,
            p95_seconds,
            max_seconds,
            status: step.worst,
            reasons: details.then(|| step.reasons.into_iter().collect()),
        }
    }
}

async fn steps(
    State(routes): State<Arc<Routes>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let details = match routes.guard.shows_details(request.headers(), request.extensions()) {
        Ok(details) => details,
        Err(why) => return refused(why),
    };
    // A name that is not UTF-8 belongs to no check.
    let Some(name) = name.ok().map(|Path(name)| name).filter(|name| routes.state.knows(name))
    else {
        return Problem::no_such_check().into_response();
    };
    let query = Query::of(request.uri());
    answer(read(&routes, &name, &query, details).await)
}

async fn read(
    routes: &Routes,
    check: &str,
    query: &Query,
    details: bool,
) -> Result<Response, Problem> {
    let history = routes.past()?;
    let Range { from, to, step } = Range::of(query, SystemTime::now())?;
    let steps = history.steps(check, from, to, step).await.map_err(|e| problem_of(&e))?;
    let mut reasons = BTreeMap::new();
    for (reason, runs) in steps.iter().flat_map(|step| &step.reasons) {
        *reasons.entry(*reason).or_default() += runs;
    }
    Ok(json(Past {
        check,
        from: Time(from),
        to: Time(to),
        step_seconds: step.as_secs(),
        reasons: details.then_some(reasons),
        steps: steps.into_iter().map(|step| HistoryStep::of(step, details)).collect(),
    }))
}

/// The time that is asked for, and how it is divided.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    from: SystemTime,
    to: SystemTime,
    step: Duration,
}

impl Range {
    fn of(query: &Query, now: SystemTime) -> Result<Self, Problem> {
        let to = since_1970(query.time("to")?.unwrap_or(now));
        let asked = query.duration("step")?;
        if asked.is_some_and(|step| step < MINUTE || !is_multiple(step, MINUTE)) {
            return Err(Problem::bad_parameter("step", "a whole number of minutes, such as 5m"));
        }
        let from = match query.time("from")? {
            Some(from) => floor(since_1970(from), MINUTE),
            // Whole steps: those of one hour and the next are the same ones.
            None => floor(to.saturating_sub(DAY), asked.unwrap_or_else(|| usual(DAY))),
        };
        if from >= to {
            return Err(Problem::bad_parameter("from", "a time before `to`"));
        }
        let step = asked.unwrap_or_else(|| usual(to.saturating_sub(from)));
        if count(to.saturating_sub(from), step) > MOST_STEPS {
            let right = "so long that `from` to `to` has at most 2,000 of them";
            return Err(Problem::bad_parameter("step", right));
        }
        Ok(Self { from: UNIX_EPOCH + from, to: UNIX_EPOCH + to, step })
    }
}

/// The clock of a machine may stand before 1970; a time that was given does not.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn is_multiple(duration: Duration, of: Duration) -> bool {
    duration.as_nanos().is_multiple_of(of.as_nanos())
}

fn floor(time: Duration, to: Duration) -> Duration {
    Duration::from_secs(time.as_secs() / to.as_secs() * to.as_secs())
}

fn count(span: Duration, step: Duration) -> u128 {
    span.as_nanos().div_ceil(step.as_nanos())
}

/// The shortest of the usual steps of which `span` has no more than usual; whole weeks beyond.
fn usual(span: Duration) -> Duration {
    let mut steps = USUAL.iter().map(|minutes| Duration::from_mins(*minutes));
    steps.find(|step| count(span, *step) <= USUAL_STEPS).unwrap_or_else(|| {
        let weeks = count(span, 7 * DAY).div_ceil(USUAL_STEPS);
        7 * DAY * u32::try_from(weeks).unwrap_or(u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T22:07:30.250Z
    const NOW: Duration = Duration::from_millis(1_769_897_250_250);

    fn range(query: &str) -> Result<Range, Problem> {
        let uri = format!("/?{query}").parse().expect("a path with a query");
        Range::of(&Query::of(&uri), UNIX_EPOCH + NOW)
    }

    /// The range in words: `from to step`, the step in minutes.
    fn printed(query: &str) -> String {
        let Range { from, to, step } = range(query).expect(query);
        let [from, to] = [from, to].map(crate::http::reply::time);
        format!("{from} {to} {}m", step.as_secs() / 60)
    }

    fn refused(query: &str) -> String {
        range(query).expect_err(query).to_string()
    }

    #[test]
    fn the_last_day_is_told_by_default_in_whole_quarters_of_an_hour() {
        assert_eq!(printed(""), "2026-01-30T22:00:00.000Z 2026-01-31T22:07:30.250Z 15m");
        assert_eq!(printed("step=1h"), "2026-01-30T22:00:00.000Z 2026-01-31T22:07:30.250Z 60m");
        assert_eq!(
            printed("to=2026-01-10T00:00:00Z"),
            "2026-01-09T00:00:00.000Z 2026-01-10T00:00:00.000Z 15m"
        );
        assert_eq!(
            printed("to=1970-01-01T06:00:00Z&step=1h"),
            "1970-01-01T00:00:00.000Z 1970-01-01T06:00:00.000Z 60m"
        );
    }

    #[test]
    fn what_is_asked_for_is_told_from_a_whole_minute_on() {
        assert_eq!(
            printed("from=2026-01-31T21:07:59.9Z&to=2026-01-31T21:15:30Z&step=5m"),
            "2026-01-31T21:07:00.000Z 2026-01-31T21:15:30.000Z 5m"
        );
        assert_eq!(
            printed("from=2026-01-31T21:07:00Z"),
            "2026-01-31T21:07:00.000Z 2026-01-31T22:07:30.250Z 1m"
        );
    }

    #[test]
    fn a_step_is_chosen_so_that_there_are_about_a_hundred_at_most() {
        let hours = |hours: u64| usual(Duration::from_hours(hours)).as_secs() / 60;
        assert_eq!(usual(Duration::from_nanos(1)), MINUTE);
        assert_eq!([1, 3, 6, 24].map(hours), [1, 2, 5, 15]);
        assert_eq!([7 * 24, 30 * 24, 90 * 24].map(hours), [2 * 60, 12 * 60, 24 * 60]);
        assert_eq!(hours(365 * 24), 7 * 24 * 60);
        for years in [2, 10, 100, 9_999] {
            let span = Duration::from_hours(years * 366 * 24);
            assert!((50..=USUAL_STEPS).contains(&count(span, usual(span))), "{years}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused_by_name() {
        assert_eq!(refused("from=2026-02-01T00:00:00Z"), "`from` must be a time before `to`");
        assert_eq!(
            refused("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"),
            "`from` must be a time before `to`"
        );
        let minutes = "`step` must be a whole number of minutes, such as 5m";
        for step in ["59s", "90s", "1ms", "60001ms"] {
            assert_eq!(refused(&format!("step={step}")), minutes, "{step}");
        }
        assert!(refused("step=soon").starts_with("`step` must be a duration"));
        assert!(refused("from=sneaky").starts_with("`from` must be a time"));
        assert!(refused("to=").starts_with("`to` must be a time"));
    }

    #[test]
    fn steps_are_bounded_in_number() {
        let to = "from=2026-01-01T00:00:00Z&to=2026-01-02T09:20:00Z&step=1m";
        assert_eq!(printed(to), "2026-01-01T00:00:00.000Z 2026-01-02T09:20:00.000Z 1m");
        let more = "from=2026-01-01T00:00:00Z&to=2026-01-02T09:20:00.001Z&step=1m";
        assert_eq!(
            refused(more),
            "`step` must be so long that `from` to `to` has at most 2,000 of them"
        );
    }

    #[test]
    fn a_clock_before_1970_tells_nothing() {
        let uri = "/".parse().expect("a path");
        let before = UNIX_EPOCH - DAY;
        assert!(Range::of(&Query::of(&uri), before).is_err());
    }

    #[test]
    fn a_step_reads_as_the_document_says() {
        let seconds = Duration::from_millis;
        let step = history::Step {
            at: UNIX_EPOCH + NOW,
            runs: 12,
            good: 11,
            share: history::Share { good: 9, counted: 10 },
            p50: Some(seconds(4)),
            p95: Some(seconds(250)),
            max: Some(seconds(2000)),
            worst: Some(Status::Down),
            reasons: vec![(Reason::Timeout, 1)],
        };
        let empty = history::Step {
            runs: 0,
            good: 0,
            share: history::Share::default(),
            p50: None,
            p95: None,
            max: None,
            worst: None,
            reasons: Vec::new(),
            ..step.clone()
        };
        let of = |step: &history::Step, details| {
            serde_json::to_value(HistoryStep::of(step.clone(), details)).expect("JSON")
        };
        let printed = [of(&step, false), of(&empty, false)];
        assert_eq!(of(&step, true)["reasons"], serde_json::json!({ "timeout": 1 }));
        assert_eq!(of(&empty, true)["reasons"], serde_json::json!({}));
        let at = "2026-01-31T22:07:30.250Z";
        let expected = [
            serde_json::json!({
                "at": at, "runs": 12, "good": 11, "status": "down",
                "p50_seconds": 0.004, "p95_seconds": 0.25, "max_seconds": 2.0,
            }),
            serde_json::json!({
                "at": at, "runs": 0, "good": 0, "status": null,
                "p50_seconds": null, "p95_seconds": null, "max_seconds": null,
            }),
        ];
        assert_eq!(printed, expected);
    }
}
