//! The event stream as a client reads it, in paused time and without a network.

mod bounds;
mod resumption;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use vitalsign::config::{Details, Secret};
use vitalsign::http::App;
use vitalsign::{Builder, Declared, Failure, Health, Reason, Status, every};

use crate::support::events::{Event, EventStream};

const SECOND: Duration = Duration::from_secs(1);

/// Dependencies that are all there, or all away.
#[derive(Clone, Default)]
struct Network(Arc<AtomicBool>);

impl Network {
    fn fails(&self, fails: bool) {
        self.0.store(fails, Ordering::SeqCst);
    }

    /// A check of one of them, every second; one run decides.
    fn check(&self) -> Declared {
        let network = self.clone();
        every(SECOND).failure_threshold(1).from_fn(move || {
            let fails = network.0.load(Ordering::SeqCst);
            let failure = || Failure::new(Reason::ConnectionRefused, "it is\nclosed");
            async move { if fails { Err(failure()) } else { Ok(()) } }
        })
    }
}

fn builder(network: &Network) -> Builder {
    Health::builder("orders").details(Details::Always).check("database", network.check())
}

/// A service with a database that is up.
async fn scene() -> (Network, Health) {
    let network = Network::default();
    let health = builder(&network).build().expect("checks");
    until(&health, "database", Status::Up).await;
    (network, health)
}

/// Lets the time pass until the check has this status.
async fn until(health: &Health, check: &str, status: Status) {
    while health.state().check(check).expect("the check").status != status {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Has the network fail, or not, and waits until that shows.
async fn turn(network: &Network, health: &Health, status: Status) {
    network.fails(status == Status::Down);
    until(health, "database", status).await;
}

async fn ask(app: &App, method: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri("/events");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

async fn open(app: &App, headers: &[(&str, &str)]) -> EventStream {
    let response = ask(app, "GET", headers).await;
    assert_eq!(response.status().as_u16(), 200);
    EventStream::of(response.into_body())
}

fn name_and_data(event: &Event) -> (&str, &Value) {
    (&event.name, &event.data)
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_a_summary_and_tells_each_change_at_once() {
    let (network, health) = scene().await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;

    let first = events.event().await;
    assert_eq!((first.name.as_str(), first.retry), ("summary", Some(2000)));
    let since = first.data["since"].clone();
    let whole = json!({
        "status": "up", "live": true, "ready": true, "started": true, "since": since,
        "checks": {"database": "up"},
    });
    assert_eq!(first.data, whole);
    assert!(since.as_str().expect("text").ends_with('Z'));

    let asked = Instant::now();
    network.fails(true);
    let change = events.event().await;
    assert!(asked.elapsed() < 2 * SECOND, "it does not wait for the next summary");
    assert!(change.id > first.id && first.id.is_some(), "ids grow");
    let at = &change.data["at"];
    let data = json!({
        "check": "database", "from": "up", "to": "down", "at": at,
        "reason": "connection_refused", "message": "it is\nclosed", "trace_id": null,
    });
    assert_eq!(name_and_data(&change), ("status", &data));
    let down = events.event().await;
    assert!(asked.elapsed() < 2 * SECOND, "the service's own status changed");
    assert_eq!((down.name.as_str(), &down.data["status"]), ("summary", &json!("down")));
    assert_eq!(down.data["checks"], json!({"database": "down"}));
    assert_eq!((&down.data["ready"], &down.data["live"]), (&json!(false), &json!(true)));

    network.fails(false);
    let back = events.event().await;
    assert!(back.id > change.id, "ids grow");
    assert_eq!((&back.data["from"], &back.data["to"]), (&json!("down"), &json!("up")));
    assert_eq!(back.data["reason"], Value::Null, "what is allowed is there, if only as null");
    assert_eq!(events.event().await.data["status"], "up");
}

#[tokio::test(start_paused = true)]
async fn a_summary_comes_every_15_seconds() {
    let (_network, health) = scene().await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;
    let first = events.event().await;
    events.event().await;
    let start = Instant::now();
    for _ in 0..4 {
        let summary = events.event().await;
        assert_eq!(name_and_data(&summary), ("summary", &first.data));
        assert_eq!(summary.id, None, "it is no change");
    }
    let took = start.elapsed();
    assert!(took.abs_diff(SECOND * 60) < SECOND, "four took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_head_forbids_whatever_would_hold_events_back() {
    let (_network, health) = scene().await;
    let app = health.clone().into_app();
    let accept = [("accept-encoding", "gzip, br"), ("accept", "text/event-stream")];
    let answer = ask(&app, "GET", &accept).await;
    let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().expect("text"));
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("content-length"), None);

    let head = ask(&app, "HEAD", &[]).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-type"]),
        (200, &"text/event-stream".parse().expect("a value"),)
    );
    assert!(head.into_body().collect().await.expect("a body").to_bytes().is_empty());
    assert_eq!(ask(&app, "POST", &[]).await.status().as_u16(), 405);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_removed_is_gone_from_the_next_summary_at_once() {
    let (network, health) = scene().await;
    let checks = |names: &[&str]| {
        names.iter().map(|name| ((*name).to_owned(), network.check())).collect::<Vec<_>>()
    };
    health.set_checks(checks(&["cache", "database"])).expect("a plan");
    until(&health, "cache", Status::Up).await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;
    assert_eq!(events.event().await.data["checks"], json!({"cache": "up", "database": "up"}));
    let asked = Instant::now();
    health.set_checks(checks(&["cache"])).expect("a plan");
    assert_eq!(events.next_of("summary").await.data["checks"], json!({"cache": "up"}));
    assert!(asked.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn details_are_withheld_from_those_without_the_right() {
    let network = Network::default();
    let built = builder(&network).details(Details::Auto).token(Secret::new("right")).build();
    let health = built.expect("checks");
    until(&health, "database", Status::Up).await;
    let app = health.clone().into_app();
    let mut public = open(&app, &[]).await;
    let mut entitled = open(&app, &[("authorization", "Bearer right")]).await;
    let wrong = ask(&app, "GET", &[("authorization", "Bearer wrong")]).await;
    assert_eq!(wrong.status().as_u16(), 401);

    turn(&network, &health, Status::Down).await;
    let keys = |event: Event| {
        let data = event.data.as_object().expect("an object");
        data.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys(public.next_of("status").await), "at check from to");
    let all = "at check from message reason to trace_id";
    assert_eq!(keys(entitled.next_of("status").await), all);
    // A client of this machine needs no token.
    let mut request = Request::get("/events").body(Body::empty()).expect("a request");
    let local = SocketAddr::from(([127, 0, 0, 1], 1));
    request.extensions_mut().insert(ConnectInfo(local));
    let answer = app.oneshot(request).await.expect("an answer");
    let mut near = EventStream::of(answer.into_body());
    turn(&network, &health, Status::Up).await;
    assert_eq!(keys(near.next_of("status").await), all);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_others_have_the_right_to_details() {
    let (network, health) = scene().await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;
    events.event().await;
    health.set_access(Details::Always, None, None);
    turn(&network, &health, Status::Down).await;
    assert_eq!(events.event().await.name, "status", "nothing has changed for it");
    events.event().await;

    health.set_access(Details::Always, Some(Secret::new("new")), None);
    turn(&network, &health, Status::Up).await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn closed_streams_have_told_of_the_draining_and_no_other_opens() {
    let (_network, health) = scene().await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;
    events.event().await;
    health.drain();
    assert_eq!(events.event().await.data["status"], "draining");
    let mut late = open(&app, &[]).await;
    assert_eq!(late.event().await.data["status"], "draining", "all is served while it drains");
    health.close_streams();
    assert_eq!(events.next().await, None);
    assert_eq!(late.next().await, None);
    let refused = ask(&app, "GET", &[]).await;
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_closed_with_the_draining_tells_of_it_all_the_same() {
    let (_network, health) = scene().await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;
    events.event().await;
    health.drain();
    health.close_streams();
    assert_eq!(events.event().await.data["status"], "draining");
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_host_subscribes_to_the_same_changes() {
    let (network, health) = scene().await;
    let mut changes = health.subscribe().checks();
    turn(&network, &health, Status::Down).await;
    let change = changes.next().await.expect("it goes on").expect("nothing is missed");
    assert_eq!((&*change.check.name, change.check.kind), ("database", "function"));
    let transition = &change.transition;
    assert_eq!((transition.from, transition.to), (Status::Up, Status::Down));
    assert_eq!(transition.reason, Some(Reason::ConnectionRefused));
    assert!(changes.next().now_or_never().is_none());
    drop(health);
    assert!(changes.next().await.is_none(), "it keeps nothing alive, and ends");
}
