//! The view models of the pages: values and texts that the templates show.

use std::sync::Arc;
use std::time::SystemTime;

use askama::Template;

use super::assets::{self, Asset};
use super::bars::Bars;
use super::curve::Spark;
use super::past::{Days, HistoryResult, Past, incidents};
use super::summary::{Summary, waits};
use super::text::{Moment, capital, capital_service, span};
use crate::engine::state::{CheckView, GroupView, ServiceInfo, Snapshot};
use crate::health::RefusedReload;
use crate::history::recent::{MINUTES, Minute};
use crate::history::{Incident, IncidentPage};
use crate::model::{Reason, Run, ServiceStatus, Status};

/// Checks on one page of the overview; a fleet has several.
const CHECKS: usize = 1_000;

/// Checks of a group that the overview names.
const CHECKS_OF_A_GROUP: usize = 50;

/// What is known beside the snapshot and the history.
#[derive(Clone, Copy)]
pub(super) struct Cx<'a> {
    pub(super) now: SystemTime,
    /// Whether the reader has the right to details.
    pub(super) details: bool,
    /// Whether a token would give the reader that right.
    pub(super) sign_in: bool,
    /// The check whose page this is, to come back to.
    pub(super) check: Option<&'a str>,
    /// What is wrong with a configuration that was refused, for readers with the right to details.
    pub(super) refused: Option<&'a RefusedReload>,
    /// From the page to the service's root, ending in a slash.
    pub(super) base: &'a str,
    /// Whether there is a metrics page, and the reader may be led to it.
    pub(super) metrics: bool,
    /// The last hour of a check.
    pub(super) hour: &'a dyn Fn(&str) -> [Minute; MINUTES],
    /// Where a trace can be looked at, by its id in hexadecimal digits.
    pub(super) trace: &'a dyn Fn(&str) -> Option<String>,
}

impl Cx<'_> {
    pub(super) fn moment(&self, at: SystemTime) -> Moment {
        Moment::new(at, self.now)
    }
}

/// What every page has around its own content.
pub(super) struct Frame<'a> {
    pub(super) base: &'a str,
    pub(super) title: String,
    /// What colours the page: a status of the service or of a check.
    pub(super) status: &'static str,
    pub(super) icon: &'static Asset,
    pub(super) style: &'static Asset,
    pub(super) script: &'static Asset,
    pub(super) service: &'a ServiceInfo,
    pub(super) details: bool,
    /// Where causes can be asked for, as a query of the overview; none where the reader sees them, or
    /// no token would show them.
    pub(super) sign_in: Option<String>,
    pub(super) refused: Option<Refusal<'a>>,
    pub(super) metrics: bool,
    pub(super) made: Moment,
    pub(super) version: &'static str,
}

impl<'a> Frame<'a> {
    pub(super) fn new(
        cx: &Cx<'a>,
        service: &'a ServiceInfo,
        title: String,
        status: &'static str,
    ) -> Self {
        Self {
            base: cx.base,
            title,
            status,
            icon: assets::icon(status),
            style: assets::style(),
            script: assets::script(),
            service,
            details: cx.details,
            sign_in: cx.sign_in.then(|| sign_in(cx.check)),
            refused: cx
                .refused
                .map(|refused| Refusal { at: cx.moment(refused.at), errors: &refused.errors }),
            metrics: cx.metrics,
            made: cx.moment(cx.now),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The query of the overview that makes a browser ask for the token, and then come back to the page of
/// `check`.
fn sign_in(check: Option<&str>) -> String {
    check.map_or_else(|| "details".to_owned(), |name| format!("details={name}"))
}

/// A configuration that was refused.
pub(super) struct Refusal<'a> {
    pub(super) at: Moment,
    pub(super) errors: &'a [String],
}

/// Why a check has its status, for readers with the right to details.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ShownCause {
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
    pub(super) trace: Option<ShownTrace>,
}

/// The trace of a run: a link where one is configured, else its id, which can be searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ShownTrace {
    Link(String),
    Id(String),
}

impl ShownTrace {
    fn new(id: Option<String>, link: Option<String>) -> Option<Self> {
        link.map(Self::Link).or_else(|| id.map(Self::Id))
    }

    pub(super) fn link(&self) -> Option<&str> {
        if let Self::Link(link) = self { Some(link) } else { None }
    }

    pub(super) fn id(&self) -> Option<&str> {
        if let Self::Id(id) = self { Some(id) } else { None }
    }
}

impl ShownCause {
    fn new(
        reason: Option<Reason>,
        message: Option<&str>,
        trace: Option<ShownTrace>,
    ) -> Option<Self> {
        let cause = Self { reason, message: message.map(str::to_owned), trace };
        (cause.reason.is_some() || cause.message.is_some()).then_some(cause)
    }

    pub(super) fn of_run(view: &CheckView, cx: &Cx<'_>) -> Option<Self> {
        let run: &Run = view.last_run.as_deref().filter(|_| cx.details)?;
        let id = run.trace.map(|trace| trace.trace_id_hex());
        let trace = ShownTrace::new(id, view.trace_url.clone());
        Self::new(run.reason, run.message.as_deref(), trace)
    }

    fn of_incident(incident: &Incident, cx: &Cx<'_>) -> Option<Self> {
        if !cx.details {
            return None;
        }
        let link = incident.trace_id.as_deref().and_then(cx.trace);
        let trace = ShownTrace::new(incident.trace_id.clone(), link);
        Self::new(incident.reason, incident.message.as_deref(), trace)
    }
}

/// A check on the overview.
pub(super) struct Row<'a> {
    pub(super) view: &'a CheckView,
    pub(super) name: &'a str,
    /// `Up`, or that it waits for its first run.
    pub(super) state: &'static str,
    pub(super) since: Moment,
    pub(super) cause: Option<ShownCause>,
    pub(super) bars: Option<Bars>,
    pub(super) spark: Option<Spark>,
}

impl<'a> Row<'a> {
    pub(super) fn new(view: &'a CheckView, past: &HistoryResult<Days>, cx: &Cx<'_>) -> Self {
        let name = &*view.info.name;
        let days = |days: &Days| Bars::new(days.get(name).map_or(&[], Vec::as_slice), cx.now);
        Self {
            view,
            name,
            state: state(view),
            since: cx.moment(view.since),
            cause: ShownCause::of_run(view, cx),
            bars: past.known().map(days),
            spark: Spark::new(&(cx.hour)(name), view.info.interval),
        }
    }
}

pub(super) fn state(view: &CheckView) -> &'static str {
    if waits(view) { "Waiting for its first run" } else { capital(view.status) }
}

/// An incident in a list.
pub(super) struct IncidentRow<'a> {
    pub(super) check: &'a str,
    pub(super) status: Status,
    pub(super) state: &'static str,
    pub(super) start: Moment,
    pub(super) end: Option<Moment>,
    pub(super) lasted: String,
    pub(super) cause: Option<ShownCause>,
}

impl<'a> IncidentRow<'a> {
    pub(super) fn new(incident: &'a Incident, cx: &Cx<'_>) -> Self {
        let lasted = incident.end.unwrap_or(cx.now).duration_since(incident.start);
        Self {
            check: &incident.check,
            status: incident.worst,
            state: capital(incident.worst),
            start: cx.moment(incident.start),
            end: incident.end.map(|end| cx.moment(end)),
            lasted: span(lasted.unwrap_or_default()),
            cause: ShownCause::of_incident(incident, cx),
        }
    }
}

/// The overview, at `/`.
#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct Overview<'a> {
    frame: Frame<'a>,
    summary: Summary,
    rows: Vec<Row<'a>>,
    /// Pages of a fleet, if there is more than one.
    pages: Option<Pages>,
    days: &'a HistoryResult<Days>,
    kept: &'a HistoryResult<IncidentPage>,
    incidents: Vec<IncidentRow<'a>>,
    groups: Vec<GroupRow<'a>>,
}

/// A group of checks on the overview.
struct GroupRow<'a> {
    name: &'a str,
    status: ServiceStatus,
    state: &'static str,
    checks: &'a [Arc<str>],
    /// How many more checks it has.
    more: usize,
}

impl<'a> GroupRow<'a> {
    fn new(group: &'a GroupView) -> Self {
        let (checks, more) = group.checks.split_at(group.checks.len().min(CHECKS_OF_A_GROUP));
        let (name, status, more) = (&*group.name, group.status, more.len());
        Self { name, status, state: capital_service(status), checks, more }
    }
}

/// Which of several pages this is.
struct Pages {
    from: usize,
    to: usize,
    total: usize,
    before: Option<usize>,
    after: Option<usize>,
}

impl Pages {
    fn new(number: usize, total: usize) -> Option<Self> {
        let last = total.div_ceil(CHECKS);
        let number = number.clamp(1, last.max(1));
        (total > CHECKS).then(|| Self {
            from: (number - 1) * CHECKS + 1,
            to: (number * CHECKS).min(total),
            total,
            before: (number > 1).then(|| number - 1),
            after: (number < last).then_some(number + 1),
        })
    }
}

impl<'a> Overview<'a> {
    /// The `number`th page, counted from 1.
    pub(super) fn new(snapshot: &'a Snapshot, past: &'a Past, number: usize, cx: &Cx<'a>) -> Self {
        let summary = Summary::new(snapshot, cx.now);
        let mut checks: Vec<&CheckView> = snapshot.checks.iter().collect();
        // They are sorted by name already.
        checks.sort_by_key(|check| (urgency(check), check.suppressed_by.is_some()));
        let pages = Pages::new(number, checks.len());
        let shown = pages.as_ref().map_or(0..checks.len(), |pages| pages.from - 1..pages.to);
        let shown = checks.get(shown).unwrap_or_default();
        let title = summary.title.clone();
        Self {
            frame: Frame::new(cx, &snapshot.service, title, snapshot.status.as_str()),
            summary,
            rows: shown.iter().map(|check| Row::new(check, &past.days, cx)).collect(),
            pages,
            days: &past.days,
            kept: &past.incidents,
            incidents: incidents(&past.incidents).iter().map(|i| IncidentRow::new(i, cx)).collect(),
            groups: snapshot.groups.iter().map(GroupRow::new).collect(),
        }
    }
}

/// A reader wants to see first what is wrong.
fn urgency(check: &CheckView) -> u8 {
    match check.status {
        Status::Down => 0,
        Status::Unknown if !waits(check) => 1,
        Status::Degraded => 2,
        Status::Unknown => 3,
        Status::Up => 4,
    }
}

/// The page that is shown where no check has that name.
#[derive(Template)]
#[template(path = "missing.html")]
pub(super) struct Missing<'a> {
    frame: Frame<'a>,
}

impl<'a> Missing<'a> {
    pub(super) fn new(service: &'a ServiceInfo, cx: &Cx<'a>) -> Self {
        let title = format!("No such check · {}", service.name);
        Self { frame: Frame::new(cx, service, title, Status::Unknown.as_str()) }
    }
}
