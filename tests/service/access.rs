//! The page on who sees what, held to what the service does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tower::ServiceExt as _;
use vitalsign::config::Secret;
use vitalsign::{Details, Failure, Health, Reason, secs};

use crate::support::daemon::{free_port, wait_for};
use crate::support::events::EventStream;
use crate::support::http::Answer;
use crate::support::service::Service;

const PAGE: &str = include_str!("../../docs/ACCESS.md");

const TOKEN: &str = "token-of-people";
const METRICS_TOKEN: &str = "token-of-prometheus";
const CAUSE: &str = "connection_refused";

/// The cells of each row of the table below this heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().expect("what comes before the next one");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between back-quotes.
fn quoted(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

/// The routes that the first cell of a row names, and the header that it asks with.
fn routes(cell: &'static str) -> (Vec<&'static str>, Option<(&'static str, &'static str)>) {
    let (paths, header) = cell.split_once(" with ").unwrap_or((cell, ""));
    let header = quoted(header).next().and_then(|header| header.split_once(": "));
    (quoted(paths).collect(), header)
}

/// What an answer holds, in the words of the page.
fn seen(path: &str, answer: &Answer) -> &'static str {
    let body = &answer.body;
    match answer.status {
        401 => "401",
        200 | 503 if path == "/metrics" && body.contains("health_check_up{") => "series",
        200 | 503 if path.starts_with("/openapi") || path.starts_with("/assets") => "open",
        200 | 503 if body.contains(CAUSE) => "causes",
        200 | 503 if body.contains("cache") || body.contains(r#""status":"#) => "statuses",
        status => panic!("{path}: {status} {body}"),
    }
}

/// A service with one check that is down for [`CAUSE`], and one that waits for reports.
async fn started() -> Service {
    let config = format!(
        r#"
        [server]
        details = "auto"
        token = "{TOKEN}"
        metrics_token = "{METRICS_TOKEN}"
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{}"
        interval = "1s"
        groups = ["checkout"]
        [checks.nightly]
        kind = "heartbeat"
        token = "token-of-a-job"
        grace = "1h"
        "#,
        free_port()
    );
    let service = Service::start(&config).await;
    service.get_until("/status/incidents", |answer| answer.body.contains("cache")).await;
    service
}

/// The path of an asset that the page loads.
async fn asset(service: &Service) -> String {
    let page = service.get("/").await.body;
    let (_, name) = page.split_once("assets/").expect("it loads some");
    format!("/assets/{}", name.split('"').next().expect("a name"))
}

async fn ask(service: &Service, path: &str, headers: &[(&str, &str)]) -> Answer {
    if path != "/events" {
        return service.get_with(path, headers).await;
    }
    // What happened before is sent to those who ask for it.
    let headers = [headers, &[("last-event-id", "1")]].concat();
    let (mut answer, mut stream) = EventStream::ask(service.address, &headers).await;
    if answer.status == 200 {
        answer.body = stream.next_of("status").await.data.to_string();
    }
    answer
}

#[tokio::test]
async fn each_caller_sees_on_each_route_what_the_page_says() {
    let callers = [
        None,
        Some(format!("Bearer {METRICS_TOKEN}")),
        Some(format!("Bearer {TOKEN}")),
        Some(format!("Basic {}", STANDARD.encode(format!("any:{TOKEN}")))),
    ];
    for (column, caller) in callers.iter().enumerate() {
        // Wrong tokens are counted, so each caller has a service of its own.
        let service = started().await;
        let asset = asset(&service).await;
        for row in table("Every route") {
            let (paths, header) = routes(row[0]);
            assert!(!paths.is_empty(), "{row:?}");
            for shown in paths {
                let check = if shown.starts_with("/heartbeat") { "nightly" } else { "cache" };
                let path = shown.replace("{check}", check).replace("/assets/{asset}", &asset);
                let path = path.replace("{group}", "checkout").replace("{signal}", "start");
                let mut headers: Vec<(&str, &str)> = header.into_iter().collect();
                headers.extend(caller.as_deref().map(|caller| ("authorization", caller)));
                let answer = ask(&service, &path, &headers).await;
                assert_eq!(seen(&path, &answer), row[column + 1], "{path} of {caller:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_names_every_route() {
    let document = started().await.get("/openapi.json").await.body;
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let known: BTreeSet<&str> = table("Every route")
        .iter()
        .flat_map(|row| routes(row[0]).0)
        .map(|path| path.split('?').next().expect("a path"))
        .collect();
    let paths = document["paths"].as_object().expect("paths").keys();
    let missing: Vec<&String> = paths.filter(|path| !known.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "docs/ACCESS.md says nothing of {missing:?}");
}

#[tokio::test]
async fn each_setting_of_details_shows_causes_to_whom_the_page_says() {
    let proxied: (&str, &str) = ("x-forwarded-for", "203.0.113.7");
    let token = format!("Bearer {TOKEN}");
    let clients: [(&str, &[(&str, &str)]); 4] = [
        ("203.0.113.7:9", &[]),
        ("127.0.0.1:9", &[]),
        ("127.0.0.1:9", &[proxied]),
        ("203.0.113.7:9", &[("authorization", &token)]),
    ];
    let rows = table("`server.details`");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let details = match quoted(row[0]).next().expect("a value").trim_matches('"') {
            "token" => Details::Token,
            "loopback" => Details::Loopback,
            "always" => Details::Always,
            "never" => Details::Never,
            other => panic!("{other}"),
        };
        let failing = || async { Err::<(), _>(Failure::new(Reason::ConnectionRefused, "refused")) };
        let health = Health::builder("orders")
            .check("cache", vitalsign::every(secs(60)).from_fn(failing))
            .details(details)
            .token(Secret::new(TOKEN))
            .build()
            .expect("a service");
        let state = Arc::clone(health.state());
        let ran = async || state.check("cache").is_some_and(|check| check.last_run.is_some());
        wait_for("the first run", ran).await;
        for (column, (address, headers)) in clients.iter().enumerate() {
            let mut request = Request::get("/status");
            for (name, value) in *headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(Body::empty()).expect("a request");
            let peer: SocketAddr = address.parse().expect("an address");
            request.extensions_mut().insert(ConnectInfo(peer));
            let app: axum::Router = health.router();
            let answer = app.oneshot(request).await.expect("an answer");
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
            let causes = String::from_utf8_lossy(&body).contains(CAUSE);
            let shown = if causes { "causes" } else { "statuses" };
            assert_eq!(shown, row[column + 1], "{details:?} for {address} {headers:?}");
        }
    }
}
