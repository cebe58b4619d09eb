//! What fires when, and what is sent then, without a network and on a clock that stands still.

mod identity;
mod silence;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::advance;

use super::alert::{AlertTemplate, Labels};
use super::receiver_state::ReceiverState;
use super::store::{AlertStore, GRACE};
use crate::model::{
    CheckInfo, Event, Gate, Gates, Outcome, Reason, Run, Status, Trace, Transition,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const TRACE: Trace = Trace { trace_id: 0xab, span_id: 1, sampled: false };

fn info(name: &str, gates: Gates, depends_on: &[&str]) -> Arc<CheckInfo> {
    Arc::new(CheckInfo {
        name: name.into(),
        kind: "tcp",
        description: None,
        gates,
        depends_on: depends_on.iter().map(|name| Arc::from(*name)).collect(),
        groups: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        interval: 10 * SECOND,
        timeout: 2 * SECOND,
        failure_threshold: 3,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: true,
        server: None,
    })
}

fn informative(name: &str) -> Arc<CheckInfo> {
    info(name, Gates::NONE, &[])
}

/// A board, and one Alertmanager that takes everything.
struct Scene {
    store: AlertStore,
    receiver: ReceiverState,
    template: AlertTemplate,
}

impl Scene {
    fn new() -> Self {
        let template = AlertTemplate {
            service: "orders".to_owned(),
            instance: Some("orders-1".to_owned()),
            link: Some("http://orders-1:8080/base".parse().unwrap()),
            trace_url: Some("http://tempo/{trace_id}".to_owned()),
        };
        Self {
            store: AlertStore::new(4 * MINUTE),
            receiver: ReceiverState::new(MINUTE, 4 * MINUTE),
            template,
        }
    }

    fn runs(&mut self, info: &Arc<CheckInfo>, outcome: Outcome, status: Status) {
        let failed = !outcome.is_good();
        let run = Run {
            at: SystemTime::now(),
            duration: Duration::from_millis(5),
            outcome,
            reason: failed.then_some(Reason::ConnectionRefused),
            message: failed.then(|| "nobody listens".to_owned()),
            trace: Some(TRACE),
            phases: Vec::new(),
            measurements: Vec::new(),
        };
        let event = Event::Run { run: &run, status, trace_kept: failed, maintenance: false };
        self.store.record(info, event);
    }

    /// A run that makes the check `to`.
    fn becomes(&mut self, info: &Arc<CheckInfo>, from: Status, to: Status) {
        let outcome = match to {
            Status::Up => Outcome::Success,
            Status::Degraded => Outcome::Warning,
            Status::Down => Outcome::Failure,
            Status::Unknown => Outcome::Unknown,
        };
        self.runs(info, outcome, to);
        let failed = to == Status::Down;
        let transition = Transition {
            id: 1,
            from,
            to,
            at: SystemTime::now(),
            since: SystemTime::now(),
            reason: failed.then_some(Reason::ConnectionRefused),
            message: failed.then(|| "nobody listens".to_owned()),
            trace: Some(TRACE),
        };
        assert!(self.store.record(info, Event::Transition(&transition)));
    }

    fn falls(&mut self, info: &Arc<CheckInfo>) {
        self.becomes(info, Status::Up, Status::Down);
    }

    /// Everything that is due now, as it is posted; nobody says whether it was taken.
    fn attempts(&mut self) -> Vec<Value> {
        self.store.evaluate();
        let (batch, _) = self.receiver.next(&self.store, &self.template);
        batch.alerts.iter().map(|alert| serde_json::to_value(alert).unwrap()).collect()
    }

    /// The same in brief, and it is taken: those that end with a `-` in front.
    fn posted(&mut self) -> Vec<String> {
        self.store.evaluate();
        let (batch, _) = self.receiver.next(&self.store, &self.template);
        self.receiver.settle(&batch);
        let mut posted: Vec<_> = batch.alerts.iter().map(brief).collect();
        posted.sort();
        posted
    }
}

fn brief(alert: &super::alert::Alert) -> String {
    let alert = serde_json::to_value(alert).unwrap();
    let text = |key: &str| alert["labels"][key].as_str().unwrap().to_owned();
    let name = text("alertname").replace("Health", "");
    let fires = moment(&alert["endsAt"]) > jiff::Timestamp::now();
    format!("{}{name} {} {}", if fires { "" } else { "-" }, text("check"), text("severity"))
}

fn moment(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_alert_tells_what_where_since_when_and_why() {
    let mut scene = Scene::new();
    let db = Arc::new(CheckInfo {
        description: Some("orders, primary".to_owned()),
        ..(*info("db", Gates::READY, &[])).clone()
    });
    let before = jiff::Timestamp::now();
    scene.falls(&db);
    advance(GRACE).await;
    let mut posted = scene.attempts();
    let mut alert = posted.pop().expect("an alert");
    assert!(posted.is_empty());
    let (starts, ends) = (moment(&alert["startsAt"]), moment(&alert["endsAt"]));
    assert!(starts.as_millisecond() >= before.as_millisecond(), "{starts} {before}");
    let lasts = ends.duration_since(before).as_secs();
    assert!((239..300).contains(&lasts), "{lasts}");
    alert["startsAt"].take();
    alert["endsAt"].take();
    assert_eq!(
        alert,
        json!({
            "labels": {
                "alertname": "HealthGatingCheckDown", "check": "db", "kind": "tcp",
                "severity": "critical", "service": "orders",
            },
            "annotations": {
                "summary": "orders: check db is down",
                "description": "The tcp check db (orders, primary) fails: connection_refused: \
                                nobody listens. It gates ready. Seen by orders-1.",
                "runbook_url": "https://github.com/vitalsign-rs/vitalsign/blob/main/docs/\
                                runbooks/HealthGatingCheckDown.md",
                "trace_url": "http://tempo/000000000000000000000000000000ab",
            },
            "startsAt": null,
            "endsAt": null,
            "generatorURL": "http://orders-1:8080/base/status/db",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn each_status_has_its_alert_and_one_ends_where_the_next_begins() {
    let mut scene = Scene::new();
    let all = [Gate::Health, Gate::Ready, Gate::Startup];
    for (gate, severity) in all.into_iter().zip(["critical", "critical", "warning"]) {
        let gating = info(gate.as_str(), [gate].into_iter().collect(), &[]);
        scene.falls(&gating);
        advance(GRACE).await;
        let name = if severity == "critical" { "GatingCheckDown" } else { "CheckDown" };
        assert_eq!(scene.posted(), [format!("{name} {gate} {severity}")]);
        scene.becomes(&gating, Status::Down, Status::Unknown);
        advance(GRACE).await;
        let ended = format!("-{name} {gate} {severity}");
        assert_eq!(scene.posted(), [ended, format!("CheckStale {gate} {severity}")]);
        scene.becomes(&gating, Status::Unknown, Status::Degraded);
        advance(GRACE).await;
        let ended = format!("-CheckStale {gate} {severity}");
        assert_eq!(scene.posted(), [ended, format!("CheckDegraded {gate} warning")]);
        scene.becomes(&gating, Status::Degraded, Status::Up);
        assert_eq!(scene.posted(), [format!("-CheckDegraded {gate} warning")]);
        assert!(scene.posted().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_straight_back_pages_nobody() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.falls(&db);
    advance(GRACE / 2).await;
    assert!(scene.posted().is_empty());
    scene.becomes(&db, Status::Down, Status::Up);
    advance(MINUTE).await;
    assert!(scene.posted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_told_again_each_minute_with_a_later_end() {
    let mut scene = Scene::new();
    scene.falls(&informative("db"));
    advance(GRACE).await;
    let first = scene.attempts();
    assert_eq!(scene.posted(), ["CheckDown db warning"], "nobody said that it was taken");
    advance(59 * SECOND).await;
    assert!(scene.posted().is_empty());
    advance(SECOND).await;
    let again = scene.attempts();
    assert_eq!(again[0]["startsAt"], first[0]["startsAt"]);
    assert!(moment(&again[0]["endsAt"]) >= moment(&first[0]["endsAt"]));
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_until_it_is_heard_or_nobody_can_believe_otherwise() {
    let mut scene = Scene::new();
    let (heard, unheard) = (informative("heard"), informative("unheard"));
    for one in [&heard, &unheard] {
        scene.falls(one);
    }
    advance(GRACE).await;
    assert_eq!(scene.posted().len(), 2);
    scene.becomes(&heard, Status::Down, Status::Up);
    assert_eq!(scene.posted(), ["-CheckDown heard warning"]);
    scene.becomes(&unheard, Status::Down, Status::Up);
    for _ in 0..3 {
        let attempted = scene.attempts();
        assert_eq!(attempted.len(), 1);
        assert!(moment(&attempted[0]["endsAt"]) >= moment(&attempted[0]["startsAt"]));
        advance(MINUTE).await;
    }
    advance(MINUTE).await;
    assert!(scene.posted().is_empty(), "it has ended by itself");
}

#[tokio::test(start_paused = true)]
async fn one_that_returns_while_its_end_is_unheard_just_goes_on() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.falls(&db);
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    scene.becomes(&db, Status::Down, Status::Up);
    scene.attempts();
    advance(SECOND).await;
    scene.falls(&db);
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    assert!(scene.posted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_removed_ends_its_alert() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.falls(&db);
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    assert!(scene.store.record(&db, Event::Removed));
    let labels = Labels::of(&db, Status::Down).expect("an alert");
    assert!(scene.store.ended(&labels).is_some(), "the moment is kept for all who were notified");
    assert_eq!(scene.posted(), ["-CheckDown db warning"]);
    advance(MINUTE).await;
    assert!(scene.posted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn other_gates_make_another_alert() {
    let mut scene = Scene::new();
    scene.falls(&informative("db"));
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    let gating = info("db", Gates::READY, &[]);
    scene.runs(&gating, Outcome::Failure, Status::Down);
    assert_eq!(scene.posted(), ["-CheckDown db warning", "GatingCheckDown db critical"]);
    let described =
        Arc::new(CheckInfo { description: Some("the first".to_owned()), ..(*gating).clone() });
    scene.runs(&described, Outcome::Failure, Status::Down);
    assert!(scene.posted().is_empty(), "its labels are the same");
}

#[tokio::test(start_paused = true)]
async fn one_that_never_had_a_result_is_told_once_that_would_be_stale() {
    let mut scene = Scene::new();
    let db = informative("db");
    for _ in 0..4 {
        scene.runs(&db, Outcome::Unknown, Status::Unknown);
        assert!(scene.posted().is_empty());
        advance(10 * SECOND).await;
    }
    assert_eq!(scene.posted(), ["CheckStale db warning"], "3 × interval + timeout are 32 s");
    scene.becomes(&db, Status::Unknown, Status::Up);
    assert_eq!(scene.posted(), ["-CheckStale db warning"]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_cause_is_told_and_a_trace_only_where_it_is_kept() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.falls(&db);
    let long = "é".repeat(5000);
    let run = Run {
        at: SystemTime::now(),
        duration: SECOND,
        outcome: Outcome::Timeout,
        reason: Some(Reason::Timeout),
        message: Some(long),
        trace: Some(Trace { trace_id: 0xcd, ..TRACE }),
        phases: Vec::new(),
        measurements: Vec::new(),
    };
    let event =
        Event::Run { run: &run, status: Status::Down, trace_kept: false, maintenance: false };
    scene.store.record(&db, event);
    advance(GRACE).await;
    let annotations = scene.attempts()[0]["annotations"].clone();
    let description = annotations["description"].as_str().unwrap();
    assert!(description.starts_with("The tcp check db fails: timeout: éé"), "{description}");
    assert!(description.ends_with("é…. Seen by orders-1."), "{description}");
    assert!(description.chars().count() < 1100);
    assert_eq!(annotations["trace_url"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn many_alerts_go_in_batches_with_ends_first() {
    let mut scene = Scene::new();
    let checks: Vec<_> = (0..150).map(|n| informative(&format!("c{n:03}"))).collect();
    for check in &checks {
        scene.falls(check);
    }
    advance(GRACE).await;
    let counts =
        [scene.posted().len(), scene.posted().len(), scene.posted().len(), scene.posted().len()];
    assert_eq!(counts, [64, 64, 22, 0]);
    scene.becomes(&checks[149], Status::Down, Status::Up);
    advance(MINUTE).await;
    let next = scene.posted();
    assert_eq!(next.len(), 64);
    assert!(next.contains(&"-CheckDown c149 warning".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_looked_at_in_time() {
    let mut scene = Scene::new();
    assert_eq!(scene.store.evaluate(), None);
    scene.falls(&informative("db"));
    let at = scene.store.evaluate().expect("the end of the grace");
    assert_eq!(at - tokio::time::Instant::now(), GRACE);
    advance(GRACE).await;
    assert_eq!(scene.store.evaluate(), None);
    let (_, due) = scene.receiver.next(&scene.store, &scene.template);
    assert_eq!(due, None, "it is due now");
    let (batch, due) = scene.receiver.next(&scene.store, &scene.template);
    assert_eq!((batch.alerts.len(), due), (1, None), "as long as it is not heard");
    scene.receiver.settle(&batch);
    let (_, due) = scene.receiver.next(&scene.store, &scene.template);
    assert_eq!(due.expect("a resend") - tokio::time::Instant::now(), MINUTE);
}
