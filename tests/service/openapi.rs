//! The document at `/openapi.json` is what the service does.

use std::collections::BTreeSet;

use vitalsign::Health;

use crate::support::daemon::free_port;
use crate::support::openapi::Document;
use crate::support::service::Service;

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");
const RIGHT: (&str, &str) = ("authorization", "Bearer right");
const WRONG: (&str, &str) = ("authorization", "Bearer wrong");
const SCRAPE: (&str, &str) = ("authorization", "Bearer scrape");
const IETF: (&str, &str) = ("accept", "application/health+json");

/// A service with a check that is up, one that is down, and one that has never run.
async fn started() -> Service {
    let closed = free_port();
    let config = format!(
        r#"
        [server]
        token = "right"
        metrics_token = "scrape"
        [telemetry]
        trace_url = "http://tempo/trace/{{trace_id}}"
        [checks.database]
        kind = "sqlite"
        path = "own.db"
        create = true
        objective = 99.9
        labels = {{ team = "payments" }}
        groups = ["storage"]
        interval = "1500ms"
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{closed}"
        depends_on = ["database"]
        failure_threshold = 1
        gates = []
        "#
    );
    let service = Service::start(&config).await;
    let down = |answer: &crate::support::http::Answer| answer.body == r#"{"status":"down"}"#;
    service.get_until("/ready/cache", down).await;
    service.ready_is(200, r#"{"status":"up","database":"up"}"#).await;
    service
}

async fn document(service: &Service) -> Document {
    let answer = service.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    Document::read(&answer.body)
}

/// A path of the document, how it is asked, and the code of the answer.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16);

const CASES: &[Case] = &[
    ("/health", "/health", &[], 200),
    ("/health", "/health?verbose", &[], 200),
    ("/health", "/health", &[IETF], 200),
    ("/healthz", "/healthz", &[], 200),
    ("/livez", "/livez", &[], 200),
    ("/ready", "/ready", &[], 200),
    ("/ready", "/ready?exclude=database&exclude=cache", &[], 200),
    ("/ready", "/ready?verbose=true", &[FORWARDED], 200),
    ("/ready", "/ready", &[IETF], 200),
    ("/readyz", "/readyz", &[], 200),
    ("/startup", "/startup", &[], 200),
    ("/startupz", "/startupz", &[IETF, FORWARDED], 200),
    ("/health/{check}", "/health/database", &[], 200),
    ("/health/{check}", "/health/cache", &[IETF], 503),
    ("/ready/{check}", "/ready/cache", &[], 503),
    ("/ready/{check}", "/ready/cache?verbose", &[], 503),
    ("/ready/{check}", "/ready/nobody", &[], 404),
    ("/ready/group/{group}", "/ready/group/storage", &[], 200),
    ("/ready/group/{group}", "/ready/group/storage?verbose", &[], 200),
    ("/ready/group/{group}", "/ready/group/storage", &[IETF], 200),
    ("/ready/group/{group}", "/ready/group/nothing", &[], 404),
    ("/metrics", "/metrics", &[SCRAPE], 200),
    ("/metrics", "/metrics", &[SCRAPE, ("accept", "application/openmetrics-text")], 200),
    ("/metrics", "/metrics", &[], 401),
    ("/status", "/status", &[], 200),
    ("/status", "/status", &[FORWARDED], 200),
    ("/status", "/status", &[FORWARDED, RIGHT], 200),
    ("/status", "/status", &[WRONG], 401),
    ("/status/{check}", "/status/database", &[], 200),
    ("/status/{check}", "/status/cache", &[FORWARDED], 200),
    ("/status/{check}", "/status/cache", &[WRONG], 401),
    ("/status/{check}", "/status/nobody", &[], 404),
    ("/status/{check}/history", "/status/nobody/history", &[], 404),
    ("/status/{check}/history", "/status/database/history", &[WRONG], 401),
    ("/status/incidents", "/status/incidents", &[WRONG], 401),
    ("/events", "/events", &[WRONG], 401),
    ("/heartbeat/{check}", "/heartbeat/nobody", &[], 404),
    ("/heartbeat/{check}/{signal}", "/heartbeat/nobody/fail", &[], 404),
    ("/", "/", &[], 200),
    ("/", "/", &[WRONG], 401),
    ("/checks/{check}", "/checks/database", &[], 200),
    ("/checks/{check}", "/checks/nobody", &[], 404),
    ("/checks/{check}", "/checks/nobody", &[("accept", "text/html")], 404),
    ("/badge/{check}.svg", "/badge/cache.svg", &[], 200),
    ("/badge/{check}.svg", "/badge/nobody.svg", &[], 404),
    ("/assets/{asset}", "/assets/nothing.css", &[], 404),
    ("/openapi.json", "/openapi.json", &[], 200),
];

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let service = started().await;
    let document = document(&service).await;
    for (path, asked, headers, code) in CASES {
        let answer = service.get_with(asked, headers).await;
        assert_eq!(answer.status, *code, "{asked} {headers:?}: {}", answer.body);
        let objection = document.objection(path, &answer);
        assert_eq!(objection, None, "{asked} {headers:?}: {}", answer.body);
        let refused = service.ask("DELETE", asked, &[]).await;
        assert_eq!(refused.status, 405, "{asked}");
        assert_eq!(document.objection(path, &refused), None, "{asked}");
    }
    let asked: BTreeSet<_> = CASES.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(asked, document.paths(), "each path is asked");
    for _ in 0..20 {
        service.get_with("/status", &[WRONG]).await;
    }
    for path in ["/status", "/status/{check}", "/status/{check}/history", "/status/incidents"] {
        let many = service.get_with(&path.replace("{check}", "cache"), &[WRONG]).await;
        assert_eq!((many.status, document.objection(path, &many)), (429, None), "{path}");
    }
}

#[tokio::test]
async fn what_heartbeats_are_answered_is_as_the_document_says() {
    let config = "checks.job = { kind = 'heartbeat', grace = '1h', token = 'right' }";
    let service = Service::start(config).await;
    let document = document(&service).await;
    let path = "/heartbeat/{check}";
    for (name, headers, code) in
        [("job", &[RIGHT][..], 204), ("job", &[], 401), ("nobody", &[RIGHT], 404)]
    {
        let answer = service.ask("POST", &path.replace("{check}", name), headers).await;
        assert_eq!(answer.status, code, "{name} {headers:?}: {}", answer.body);
        assert_eq!(document.objection(path, &answer), None, "{}", answer.body);
    }
    let path = "/heartbeat/{check}/{signal}";
    for (asked, code) in
        [("/fail", 204), ("/7", 204), ("/gone", 404), ("/fail?status=perhaps", 400)]
    {
        let answer = service.ask("POST", &format!("/heartbeat/job{asked}"), &[RIGHT]).await;
        assert_eq!(answer.status, code, "{asked}: {}", answer.body);
        assert_eq!(document.objection(path, &answer), None, "{}", answer.body);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_as_the_document_says_is_noticed() {
    let service = started().await;
    let document = document(&service).await;
    for (path, other, headers) in [
        ("/status", "/status/database", &[RIGHT][..]),
        ("/status/{check}", "/status", &[RIGHT]),
        ("/ready", "/status", &[FORWARDED]),
        ("/metrics", "/ready", &[]),
        ("/status", "/ready/cache", &[]),
    ] {
        let answer = service.get_with(other, headers).await;
        assert_ne!(answer.status / 100, 4, "{other}: {}", answer.body);
        assert!(document.objection(path, &answer).is_some(), "{other} as {path}");
    }
}

#[tokio::test]
async fn the_document_names_every_route_and_no_other() {
    let health = Health::builder("orders").build().expect("no checks");
    let app = health.into_app();
    let shown = format!("{app:?}");
    let (own, _) = shown.split_once("fallback_router").expect("axum shows its routes");
    let path = regex::Regex::new(r#"RouteId\(\d+\): "([^"]*)""#).expect("a pattern");
    let routes: BTreeSet<_> = path.captures_iter(own).map(|found| found[1].to_owned()).collect();
    assert!(routes.contains("/status/{check}/history"), "axum shows its routes: {shown}");

    let request = axum::http::Request::get("/openapi.json").body(axum::body::Body::empty());
    let answer = tower::ServiceExt::oneshot(app, request.expect("a request")).await;
    let body = answer.expect("an answer").into_body();
    let body = http_body_util::BodyExt::collect(body).await.expect("a body").to_bytes();
    let document = Document::read(std::str::from_utf8(&body).expect("text"));
    // The router takes `{badge}` where clients write `{check}.svg`.
    let part = regex::Regex::new(r"\{\w+\}(\.\w+)?").expect("a pattern");
    let plain = |path: &String| part.replace_all(path, "{}").into_owned();
    let [told, served] =
        [document.paths(), routes].map(|paths| paths.iter().map(plain).collect::<BTreeSet<_>>());
    assert_eq!(told, served);
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_and_says_what_it_is() {
    let service = started().await;
    let document = document(&service).await;
    let mut names = BTreeSet::new();
    for (path, method, operation) in document.operations() {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{method} {path}");
        let taken = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let in_path = taken.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
        let about = |parameter: &serde_json::Value| parameter["description"].is_string();
        assert!(taken.iter().all(about), "{method} {path}");
    }
}
