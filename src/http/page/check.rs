//! The model of a check's own page.

use askama::Template;

use super::bars::Bars;
use super::curve::Chart;
use super::failures::{FailureRow, failures};
use super::past::{CheckPast, HistoryResult, Range, incidents};
use super::text::{Moment, budget, figure, latency, percent, setting};
use super::view::{Cx, Frame, IncidentRow, Row, ShownCause, state};
use crate::engine::state::{CheckView, ServiceInfo};
use crate::history::IncidentPage;
use crate::model::Gate;

/// A check's page, at `/checks/{check}`.
#[derive(Template)]
#[template(path = "check.html")]
pub(super) struct CheckPage<'a> {
    frame: Frame<'a>,
    view: &'a CheckView,
    name: &'a str,
    state: &'static str,
    since: Moment,
    cause: Option<ShownCause>,
    facts: Vec<Fact>,
    tiles: Vec<(&'static str, String)>,
    budget: Option<String>,
    bars: Option<Bars>,
    ranges: [Range; 4],
    range: Range,
    chart: Option<Chart>,
    failures: Vec<FailureRow>,
    history_is_off: bool,
    kept: &'a HistoryResult<IncidentPage>,
    incidents: Vec<IncidentRow<'a>>,
    /// Where older incidents begin, as a query writes it.
    older: Option<String>,
}

impl<'a> CheckPage<'a> {
    pub(super) fn new(
        view: &'a CheckView,
        service: &'a ServiceInfo,
        past: &'a CheckPast,
        range: Range,
        cx: &Cx<'a>,
    ) -> Self {
        let name = &*view.info.name;
        let title = format!("{name}: {} · {}", view.status, service.name);
        let row = Row::new(view, &past.days, cx);
        let steps = past.steps.known();
        Self {
            frame: Frame::new(cx, service, title, view.status.as_str()),
            view,
            name,
            state: state(view),
            since: row.since,
            cause: row.cause,
            facts: facts(view, cx),
            tiles: tiles(view, past),
            budget: budget_left(view, past),
            bars: row.bars,
            ranges: Range::ALL,
            range,
            chart: steps.and_then(|steps| Chart::new(steps, range.format)),
            failures: steps.map_or_else(Vec::new, |steps| failures(steps, cx)),
            history_is_off: past.steps.is_off(),
            kept: &past.incidents,
            incidents: incidents(&past.incidents).iter().map(|i| IncidentRow::new(i, cx)).collect(),
            older: past.incidents.known().and_then(|page| page.next.as_deref()).map(quoted),
        }
    }
}

/// Something about a check.
pub(super) struct Fact {
    name: String,
    value: String,
    /// As it is in `/status`, or when it was, where the value rounds that.
    exact: Option<String>,
}

impl Fact {
    fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), exact: None }
    }
}

/// Shares of good runs by window, and the objective.
fn tiles(view: &CheckView, past: &CheckPast) -> Vec<(&'static str, String)> {
    let Some(known) = past.availability else { return Vec::new() };
    let windows = [
        ("1 hour", known.hour),
        ("24 hours", known.day),
        ("7 days", known.week),
        ("30 days", known.month),
    ];
    let mut tiles: Vec<_> = windows
        .into_iter()
        .map(|(window, share)| (window, percent(share).unwrap_or_else(|| "–".to_owned())))
        .collect();
    if let Some(objective) = view.info.objective {
        tiles.push(("Objective", format!("{objective}%")));
    }
    tiles
}

/// What is left of the error budget of 30 days.
fn budget_left(view: &CheckView, past: &CheckPast) -> Option<String> {
    let (availability, objective) =
        past.availability?.month.ratio().zip(view.info.objective_ratio())?;
    Some(budget(1.0 - (1.0 - availability) / (1.0 - objective), objective))
}

fn facts(view: &CheckView, cx: &Cx<'_>) -> Vec<Fact> {
    let info = &*view.info;
    let asked = format!("every {}, at most {}", setting(info.interval), setting(info.timeout));
    let mut facts = vec![Fact::new("Kind", info.kind), Fact::new("Asked", asked)];
    let gates: Vec<_> = info.gates.iter().map(Gate::as_str).collect();
    let gates = if gates.is_empty() { "no probe".to_owned() } else { gates.join(", ") };
    facts.push(Fact::new("Gates", gates));
    if !info.depends_on.is_empty() {
        facts.push(Fact::new("Depends on", info.depends_on.join(", ")));
    }
    if let Some(run) = &view.last_run {
        let at = cx.moment(run.at);
        facts.push(Fact::new("Last run took", latency(run.duration)));
        facts.push(Fact {
            exact: Some(at.full),
            ..Fact::new("Last run", format!("{} ago", at.past))
        });
    }
    if view.consecutive_failures > 0 {
        facts.push(Fact::new("Failed in a row", view.consecutive_failures.to_string()));
    }
    if cx.details {
        let labels = info.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let labels: Vec<_> = labels.collect();
        if !labels.is_empty() {
            facts.push(Fact::new("Labels", labels.join(", ")));
        }
        let measured = view.last_run.iter().flat_map(|run| &run.measurements);
        facts.extend(measured.map(|(measurement, value)| {
            let (name, shown) = figure(measurement.name, *value, cx.now);
            Fact { name, value: shown, exact: Some(format!("{} {value}", measurement.name)) }
        }));
    }
    facts
}

fn quoted(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
