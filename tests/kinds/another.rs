//! The `vitalsign` kind: what it makes of the answers of another, and of a real one.

use std::sync::Arc;

use opentelemetry::trace::Status;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::time::Instant;
use vitalsign::{Context, Outcome, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file};
use crate::support::checks::{PATIENT, ask, check, errors, figure, run};
use crate::support::daemon::free_port;
use crate::support::peer::{self, Peer, http_answer};
use crate::support::service::Service;
use crate::support::spans::{Spans, attribute, events, id};

const HEALTHY: &str = r#"{"status":"up","live":true,"checks":{"db":{"status":"up"}}}"#;

fn subject() -> Subject {
    Subject {
        kind: "vitalsign",
        options: |address| format!("url = 'http://{address}/?x={SECRET}'\ntoken = '{SECRET}'"),
        healthy: peer::answering(http_answer("200 OK", "", HEALTHY)),
        trickled: b"HTTP/1.1 200 OK\r\n\r\n{",
        endless: peer::endless(b"HTTP/1.1 200 OK\r\n\r\n", &[b'a'; 8 * 1024]),
        denying: Some(peer::answering(http_answer("401 Unauthorized", "", ""))),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

#[tokio::test]
async fn the_status_of_the_other_becomes_ours() {
    let db = r#""db":{"status":"down","last_run":{"reason":"timeout"}},"up":{"status":"up"}"#;
    for (status, checks, outcome, said) in [
        ("up", "", Outcome::Success, ""),
        ("degraded", db, Outcome::Warning, "degraded: db down (timeout)"),
        ("down", db, Outcome::Failure, "down: db down (timeout)"),
        ("starting", r#""db":{"status":"unknown"}"#, Outcome::Failure, "starting: db unknown"),
        ("draining", "", Outcome::Failure, "draining"),
    ] {
        let body = format!(r#"{{"status":"{status}","checks":{{{checks}}}}}"#);
        let peer = Peer::http(move |_| http_answer("200 OK", "", &body)).await;
        let run = run(check("vitalsign", &format!("url = 'http://{}'", peer.address))).await;
        assert_eq!(run.outcome, outcome, "{status}");
        let message = (!said.is_empty()).then(|| format!("{} is {said}", peer.address));
        assert_eq!(run.message, message);
        let failed = outcome == Outcome::Failure;
        assert_eq!(run.reason, failed.then_some(Reason::NotServing));
        let down = if checks == db { 1.0 } else { 0.0 };
        assert_eq!(figure(&run, "remote_checks_down"), Some(down), "{status}");
    }
}

#[tokio::test]
async fn other_answers_are_told_apart() {
    for (answer, reason, said) in [
        (http_answer("404 Not Found", "", ""), Reason::UnexpectedStatus, "expected 200"),
        (http_answer("302 Found", "location: /\r\n", ""), Reason::UnexpectedStatus, "302"),
        (http_answer("403 Forbidden", "", HEALTHY), Reason::UnexpectedStatus, "403"),
        (http_answer("200 OK", "", "<html>"), Reason::UnexpectedBody, "status document"),
        (http_answer("200 OK", "", r#"{"status":"up"}"#), Reason::UnexpectedBody, "is not"),
    ] {
        let peer = Peer::http(move |_| answer.clone()).await;
        let made = check("vitalsign", &format!("url = 'http://{}'", peer.address));
        let failure = ask(&*made, PATIENT).await.expect_err("it fails");
        assert_eq!(failure.reason(), reason, "{}", failure.message());
        assert!(failure.message().contains(said), "{}", failure.message());
    }
}

#[tokio::test]
async fn the_path_of_the_status_is_added_where_it_is_missing() {
    let peer = Peer::http(|_| http_answer("200 OK", "", HEALTHY)).await;
    for (path, asked) in [
        ("", "/status"),
        ("/", "/status"),
        ("/status", "/status"),
        ("/vitals", "/vitals/status"),
        ("/vitals/", "/vitals/status"),
        ("/vitals/status?a=b#c", "/vitals/status?a=b"),
    ] {
        let made = check("vitalsign", &format!("url = 'http://{}{path}'", peer.address));
        ask(&*made, PATIENT).await.expect("it is healthy");
        let request = peer.requests().pop().expect("a request");
        assert!(request.starts_with(&format!("GET {asked} HTTP/1.1\r\n")), "{request}");
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
    }
}

#[tokio::test]
async fn the_span_follows_the_conventions_and_its_context_is_sent() {
    let peer = Peer::http(|_| http_answer("200 OK", "", r#"{"status":"down","checks":{}}"#)).await;
    let options = format!("url = 'http://{}'\ntoken = 'abc'", peer.address);
    let (spans, _guard) = Spans::record();
    let propagator = Arc::new(TraceContextPropagator::new());
    let cx = Context::new(Instant::now() + PATIENT, Some(propagator));
    check("vitalsign", &options).run(&cx).await.expect_err("it is down");
    let span = spans.only();
    assert_eq!((span.name.as_ref(), &span.status), ("GET", &Status::Unset), "it answered");
    let full = format!("http://{}/status", peer.address);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.full", full.as_str()),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let request = peer.requests().pop().expect("a request").to_lowercase();
    for line in ["authorization: bearer abc", "accept: application/json", "connection: close"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
    }
    let trace = format!("\r\ntraceparent: 00-{}-{}", span.span_context.trace_id(), id(&span));
    assert!(request.contains(&trace), "{request}");
}

#[tokio::test]
async fn tls_is_verified() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let server = authority.issue("localhost").server(None);
    let peer = Peer::https(server, |_| http_answer("200 OK", "", HEALTHY)).await;
    let url = format!("url = 'https://localhost:{}'", peer.address.port());
    let trusting = format!("{url}\ntls = {{ ca = '{}' }}", ca.path().display());
    let run = run(check("vitalsign", &trusting)).await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert!(figure(&run, "tls_certificate_not_after_timestamp_seconds").is_some());
    let failure = ask(&*check("vitalsign", &url), PATIENT).await.expect_err("nobody trusts it");
    assert_eq!(failure.reason(), Reason::TlsUntrusted, "{}", failure.message());
}

#[tokio::test]
async fn a_real_one_is_understood_with_and_without_its_token() {
    let config = format!(
        r#"
        [server]
        token = "right"
        [checks.database]
        kind = "sqlite"
        path = "own.db"
        create = true
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{}"
        gates = []
        failure_threshold = 1
        "#,
        free_port()
    );
    let other = Service::start(&config).await;
    other.ready_is(200, r#"{"status":"up","database":"up"}"#).await;
    let down = |answer: &crate::support::http::Answer| answer.status == 503;
    other.get_until("/ready/cache", down).await;
    let told =
        run(check("vitalsign", &format!("url = 'http://{}'\ntoken = 'right'", other.address)))
            .await;
    let message = format!("{} is degraded: cache down (connection_refused)", other.address);
    assert_eq!((told.outcome, told.message), (Outcome::Warning, Some(message)));
    let made = check("vitalsign", &format!("url = 'http://{}'\ntoken = 'wrong'", other.address));
    let failure = ask(&*made, PATIENT).await.expect_err("the token is wrong");
    assert_eq!(failure.reason(), Reason::AuthFailed);
}

#[test]
fn options_that_cannot_be_are_errors() {
    for (options, told) in [
        ("url = 'orders:8080'", "url: the scheme is not HTTP's; "),
        ("url = 'orders'", "url: this is no URL "),
        ("url = 'ftp://orders'", "url: the scheme is not HTTP's; "),
        ("url = 'http://u:p@orders'", "url: a vitalsign takes no user name; "),
        ("url = 'http://orders'\ntoken = ''", "token: the token is empty "),
        ("url = 'http://orders'\ntoken = \"a\\n\"", "token: the token is empty or holds "),
        ("url = 'http://orders'\ntls = true", "tls: an http URL is asked without TLS; "),
        ("url = 'https://orders'\ntls = false", "tls: an https URL is asked with TLS; "),
    ] {
        let errors = errors("vitalsign", options);
        assert!(errors.len() == 1 && errors[0].starts_with(told), "{options}: {errors:?}");
    }
}
