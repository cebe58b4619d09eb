//! The routes of the past: what they tell, and what they refuse.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use vitalsign::history::HistoryOptions;
use vitalsign::{
    CheckInfo, Event, Gates, Health, History, Outcome, Reason, Run, Status, Trace, Transition,
    every,
};

use crate::support::http::{Answer, Client};
use crate::support::openapi::Document;
use crate::support::service::Service;
use crate::support::stage::{Running, patient};

const HOUR: Duration = Duration::from_hours(1);

/// Seconds before now, to the millisecond.
fn ago(seconds: u64) -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).expect("soon"))
        - Duration::from_secs(seconds)
}

fn text(at: SystemTime) -> String {
    format!("{:.3}", jiff::Timestamp::try_from(at).expect("a time"))
}

fn info(name: &str) -> Arc<CheckInfo> {
    Arc::new(CheckInfo {
        name: name.into(),
        kind: "custom",
        description: None,
        gates: Gates::NONE,
        depends_on: Vec::new(),
        groups: Vec::new(),
        labels: std::collections::BTreeMap::default(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        failure_threshold: 3,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: false,
        server: None,
    })
}

fn run(outcome: Outcome, duration: Duration) -> Run {
    Run {
        at: SystemTime::now() - duration,
        duration,
        outcome,
        reason: outcome.is_failed().then_some(Reason::Timeout),
        message: None,
        trace: None,
        phases: Vec::new(),
        measurements: Vec::new(),
    }
}

/// The status of a check changes, at so many seconds before now, by a run whose trace is kept.
fn change(history: &History, check: &str, (from, to): (Status, Status), seconds: u64) {
    let trace = Trace { trace_id: seconds.into(), span_id: 1, sampled: true };
    let (info, sink) = (info(check), history.sink());
    let failed = to == Status::Down;
    let run = Run {
        trace: Some(trace),
        ..run(if failed { Outcome::Timeout } else { Outcome::Success }, Duration::from_millis(1))
    };
    let told = Event::Run { run: &run, status: to, trace_kept: true, maintenance: false };
    sink.record(&info, told);
    let at = ago(seconds);
    let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    let transition = Transition {
        id: u64::try_from(since_1970.as_micros()).expect("soon"),
        from,
        to,
        at,
        since: at,
        reason: run.reason,
        message: failed.then(|| format!("{check} was silent")),
        trace: run.trace,
    };
    sink.record(&info, Event::Transition(&transition));
}

/// A service that is served, with the document of its routes.
struct Site {
    running: Running,
    document: Document,
}

impl Site {
    async fn of(health: Health) -> Self {
        let running = Running::start(patient(), health.into_app()).await;
        let document = Client::connect(running.address).await.get("/openapi.json").await;
        Self { running, document: Document::read(&document.body) }
    }

    /// Asks, and finds the answer to be as the document says.
    async fn ask(&self, route: &str, path: &str, headers: &str) -> Answer {
        let mut client = Client::connect(self.running.address).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!(self.document.objection(route, &answer), None, "{path}: {}", answer.body);
        answer
    }

    async fn json(&self, route: &str, path: &str) -> Value {
        let answer = self.ask(route, path, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    async fn incidents(&self, query: &str) -> Value {
        self.json("/status/incidents", &format!("/status/incidents?{query}")).await
    }

    async fn history(&self, query: &str) -> Value {
        self.json("/status/{check}/history", &format!("/status/cache/history?{query}")).await
    }
}

async fn in_memory() -> History {
    History::open(HistoryOptions::in_memory("orders", "orders-1")).await.expect("a history")
}

/// A service whose check `cache` has had 998 good runs of 4 ms and a failed one of 2 s before it
/// started, and another good one since.
async fn with_runs(history: &History) -> Health {
    let (sink, cache) = (history.sink(), info("cache"));
    for number in 0..999 {
        let (outcome, millis) =
            if number == 500 { (Outcome::Timeout, 2000) } else { (Outcome::Success, 4) };
        let run = run(outcome, Duration::from_millis(millis));
        let status = outcome.status();
        let told = Event::Run { run: &run, status, trace_kept: false, maintenance: false };
        sink.record(&cache, told);
    }
    let answers =
        every(HOUR).gates([]).objective(99.0).from_fn(|| ready(Ok::<_, std::io::Error>(())));
    let health = Health::builder("orders")
        .history(history.clone())
        .trace_url("http://tempo/trace/{trace_id}")
        .check("cache", answers)
        .build()
        .expect("checks");
    while health.state().check("cache").is_none_or(|check| check.last_run.is_none()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    health
}

#[tokio::test]
async fn availability_and_the_budget_follow_from_the_runs() {
    let site = Site::of(with_runs(&in_memory().await).await).await;
    let all = site.json("/status", "/status").await;
    let one = site.json("/status/{check}", "/status/cache").await;
    for cache in [&all["checks"]["cache"], &one] {
        let expected = json!({ "1h": 0.999, "24h": 0.999, "7d": 0.999, "30d": 0.999 });
        assert_eq!(cache["availability"], expected);
        assert_eq!(cache["objective"], 0.99);
        let left = cache["error_budget_remaining"].as_f64().expect("a number");
        assert!((left - 0.9).abs() < 1e-9, "{left}");
    }
}

#[tokio::test]
async fn a_history_is_told_step_by_step() {
    let site = Site::of(with_runs(&in_memory().await).await).await;
    let day = site.history("").await;
    assert_eq!((&day["check"], &day["step_seconds"]), (&json!("cache"), &json!(900)));
    let steps = day["steps"].as_array().expect("steps");
    assert!((96..=97).contains(&steps.len()), "{}", steps.len());
    assert_eq!(steps[0]["at"], day["from"]);
    let nothing = json!({
        "at": day["from"], "runs": 0, "good": 0, "status": null,
        "p50_seconds": null, "p95_seconds": null, "max_seconds": null, "reasons": {},
    });
    assert_eq!(steps[0], nothing);
    assert_eq!(day["reasons"], json!({ "timeout": 1 }));
    let sum = |key: &str| steps.iter().filter_map(|step| step[key].as_u64()).sum::<u64>();
    assert_eq!((sum("runs"), sum("good")), (1000, 999));
    let longest = |steps: &[Value]| {
        let longest = steps.iter().filter_map(|step| step["max_seconds"].as_f64());
        longest.fold(0.0, f64::max)
    };
    assert!((longest(steps) - 2.0).abs() < 0.001, "{steps:?}");
    let worst = steps.iter().any(|step| step["status"] == "down");
    assert!(worst, "{steps:?}");

    let (from, to) = (text(ago(600)), text(ago(0)));
    let asked = site.history(&format!("from={from}&to={to}&step=5m")).await;
    assert_eq!((&asked["step_seconds"], &asked["to"]), (&json!(300), &json!(to)));
    let minute = format!("{}:00.000Z", &from[..16]);
    assert_eq!(asked["from"], minute, "rounded down");
    assert!((2..=3).contains(&asked["steps"].as_array().expect("steps").len()), "{asked}");
    let last = asked["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
    assert!(last["p50_seconds"].as_f64().is_none_or(|p| (p - 0.004).abs() < 0.001), "{last}");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_a_400_that_names_it_and_echoes_nothing() {
    let site = Site::of(with_runs(&in_memory().await).await).await;
    let history = ("/status/{check}/history", "/status/cache/history");
    let incidents = ("/status/incidents", "/status/incidents");
    for ((route, path), query, name) in [
        (history, "from=sneaky", "from"),
        (history, "to=sneaky", "to"),
        (history, "step=sneaky", "step"),
        (history, "step=1s", "step"),
        (history, "step=1m", "step"),
        (history, "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        (incidents, "from=sneaky", "from"),
        (incidents, "to=sneaky", "to"),
        (incidents, "limit=sneaky", "limit"),
        (incidents, "limit=501", "limit"),
        (incidents, "check=Sneaky", "check"),
        (incidents, "after=sneaky", "after"),
    ] {
        // A day has 1,440 minutes, and ten of them too many.
        let query = query.replace("step=1m", "step=1m&from=2026-01-01T00:00:00Z");
        let answer = site.ask(route, &format!("{path}?{query}"), "").await;
        assert_eq!(answer.status, 400, "{path}?{query}: {}", answer.body);
        let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.starts_with(&format!("`{name}` must be ")), "{path}?{query}: {detail}");
        assert!(!answer.body.to_lowercase().contains("sneaky"), "{}", answer.body);
    }
}

/// Two checks that were down, one of them twice, and one that is degraded.
fn with_incidents(history: &History) -> Health {
    use Status::{Degraded, Down, Unknown, Up};
    change(history, "cache", (Unknown, Up), 9_000);
    change(history, "queue", (Unknown, Up), 9_000);
    change(history, "cache", (Up, Down), 8_000);
    change(history, "cache", (Down, Up), 7_000);
    change(history, "queue", (Up, Down), 6_000);
    change(history, "queue", (Down, Up), 5_000);
    change(history, "cache", (Up, Degraded), 4_000);
    Health::builder("orders")
        .history(history.clone())
        .trace_url("http://tempo/trace/{trace_id}")
        .build()
        .expect("no checks")
}

/// The starts of the incidents of a page, in seconds before now, rounded.
fn starts(page: &Value) -> Vec<u64> {
    let incidents = page["incidents"].as_array().expect("incidents").iter();
    let seconds = |incident: &Value| {
        let start: jiff::Timestamp = incident["start"].as_str()?.parse().ok()?;
        let ago = SystemTime::now().duration_since(SystemTime::from(start)).ok()?;
        Some(ago.as_secs() / 1000 * 1000)
    };
    incidents.map(|incident| seconds(incident).expect("a time")).collect()
}

#[tokio::test]
async fn incidents_are_told_newest_first_with_their_causes_and_traces() {
    let site = Site::of(with_incidents(&in_memory().await)).await;
    let page = site.incidents("").await;
    assert_eq!(starts(&page), [4_000, 6_000, 8_000]);
    assert_eq!(page["next"], Value::Null);
    let [open, ended, _] = page["incidents"].as_array().expect("incidents").as_slice() else {
        panic!("three: {page}");
    };
    assert_eq!((&open["check"], &open["end"]), (&json!("cache"), &Value::Null));
    assert_eq!((&open["status"], &ended["status"]), (&json!("degraded"), &json!("down")));
    assert_eq!((&open["reason"], &open["message"]), (&Value::Null, &Value::Null));
    assert_eq!((&ended["check"], &ended["reason"]), (&json!("queue"), &json!("timeout")));
    assert_eq!(ended["message"], "queue was silent");
    let id = format!("{:032x}", 6_000);
    assert_eq!(ended["trace_id"], id);
    assert_eq!(ended["trace_url"], format!("http://tempo/trace/{id}"));
    let end: jiff::Timestamp = ended["end"].as_str().expect("a time").parse().expect("a time");
    let start: jiff::Timestamp = ended["start"].as_str().expect("a time").parse().expect("a time");
    assert_eq!((end - start).get_seconds() / 10, 100);
}

#[tokio::test]
async fn incidents_come_in_pages_and_can_be_chosen() {
    let site = Site::of(with_incidents(&in_memory().await)).await;
    let mut query = "limit=1".to_owned();
    let mut all = Vec::new();
    loop {
        let page = site.incidents(&query).await;
        assert_eq!(page["incidents"].as_array().map(Vec::len), Some(1), "{page}");
        all.extend(starts(&page));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=1&after={next}");
    }
    assert_eq!(all, [4_000, 6_000, 8_000]);
    for (query, expected) in [
        ("check=queue".to_owned(), &[6_000][..]),
        ("check=nobody".to_owned(), &[]),
        (format!("from={}", text(ago(5_500))), &[4_000, 6_000]),
        (format!("to={}", text(ago(5_500))), &[6_000, 8_000]),
        (format!("from={}&to={}", text(ago(6_500)), text(ago(5_500))), &[6_000]),
        (format!("from={}&check=cache", text(ago(5_500))), &[4_000]),
    ] {
        assert_eq!(starts(&site.incidents(&query).await), expected, "{query}");
    }
}

#[tokio::test]
async fn incidents_withhold_their_details_from_those_without_the_right() {
    let site = Site::of(with_incidents(&in_memory().await)).await;
    let forwarded = "x-forwarded-for: 203.0.113.7\r\n";
    let answer = site.ask("/status/incidents", "/status/incidents", forwarded).await;
    let page: Value = serde_json::from_str(&answer.body).expect("JSON");
    for incident in page["incidents"].as_array().expect("incidents") {
        let keys: Vec<_> = incident.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["check", "end", "start", "status"]);
    }
    assert!(!answer.body.contains("silent") && !answer.body.contains("tempo"), "{}", answer.body);
}

#[tokio::test]
async fn a_store_that_is_gone_is_a_503_and_the_status_goes_on() {
    let history = in_memory().await;
    let site = Site::of(with_runs(&history).await).await;
    history.close(HOUR).await;
    for (route, path) in [
        ("/status/{check}/history", "/status/cache/history"),
        ("/status/incidents", "/status/incidents"),
    ] {
        let answer = site.ask(route, path, "").await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        assert_eq!(answer.header("retry-after"), Some("5"), "{path}");
        assert!(answer.body.contains("the history store does not answer"), "{}", answer.body);
    }
    let cache = site.json("/status/{check}", "/status/cache").await;
    assert_eq!(cache["availability"]["1h"], 0.999);
}

#[tokio::test]
async fn an_outage_of_a_dependency_is_an_incident_that_ends_with_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let config = format!(
        r#"
        [server]
        drain_delay = "1ms"
        [checks.cache]
        kind = "tcp"
        address = "{address}"
        interval = "200ms"
        failure_threshold = 1
        "#
    );
    let service = Service::start(&config).await;
    service.ready_is(200, r#"{"status":"up","cache":"up"}"#).await;
    let page = |answer: &Answer| serde_json::from_str::<Value>(&answer.body).expect("JSON");
    let none = service.get_until("/status/incidents", |answer| answer.status == 200).await;
    assert_eq!(page(&none), json!({ "incidents": [], "next": null }));

    drop(listener);
    let begun = |answer: &Answer| !page(answer)["incidents"][0].is_null();
    let open = page(&service.get_until("/status/incidents", begun).await);
    assert_eq!(open["incidents"][0]["reason"], "connection_refused");
    assert!(open["incidents"][0]["end"].is_null(), "{open}");

    let _listener = std::net::TcpListener::bind(address).expect("the same port");
    let over = |answer: &Answer| page(answer)["incidents"][0]["end"].is_string();
    let ended = page(&service.get_until("/status/incidents", over).await);
    assert_eq!(ended["incidents"][0]["start"], open["incidents"][0]["start"]);
    assert_eq!(ended["incidents"].as_array().map(Vec::len), Some(1), "{ended}");

    let history = page(&service.get("/status/cache/history").await);
    let steps = history["steps"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step["status"] == "down"), "{history}");
    let one = page(&service.get("/status/cache").await);
    let share = one["availability"]["30d"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 1.0, "{one}");
}
