//! The `http` kind: what it sends and how it is configured.

mod answers;
mod json;
mod redirects;
mod tls;

use std::sync::Arc;

use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use vitalsign::{Check, Context, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::checks::{PATIENT, ask, check, errors};
use crate::support::peer::{self, Peer, Script, http_answer};
use crate::support::spans::{self, Spans, attribute, events, id};

fn subject() -> Subject {
    Subject {
        kind: "http",
        options: |address| {
            format!(
                "url = 'http://user:{SECRET}@{address}/health?token={SECRET}'\nmethod = 'POST'\n\
                 body = '{SECRET}'\nheaders.x-key = '{SECRET}'\ncookies.session = '{SECRET}'\nexpect.json = {{ '$.ok' = true }}"
            )
        },
        healthy: peer::answering(http_answer("200 OK", "", "{\"ok\": true}")),
        trickled: b"HTTP/1.1 200 OK\r\n\r\n{",
        endless: peer::endless(b"HTTP/1.1 200 OK\r\n\r\n", &[b'a'; 1000]),
        denying: Some(peer::answering(http_answer("401 Unauthorized", "", ""))),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

/// Asks once with trace context.
async fn ask_traced(check: &dyn Check) {
    spans::prepare();
    let cx = Context::new(Instant::now() + PATIENT, Some(Arc::new(TraceContextPropagator::new())));
    check.run(&cx).await.expect("it is healthy");
}

/// The lines of a request, its headers in lower case.
fn lines(request: &str) -> Vec<String> {
    let (head, _) = request.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

#[tokio::test]
async fn an_ordinary_request_asks_for_nothing_unusual() {
    let peer = Peer::http(|_| http_answer("204 No Content", "", "")).await;
    let url = format!("url = 'http://{}/a%20b?c=d#e'", peer.address);
    ask(&*check("http", &url), PATIENT).await.expect("it is healthy");
    let expected = [
        "GET /a%20b?c=d HTTP/1.1".to_owned(),
        "accept: */*".to_owned(),
        "connection: close".to_owned(),
        format!("host: {}", peer.address),
        concat!("user-agent: vitalsign/", env!("CARGO_PKG_VERSION")).to_owned(),
    ];
    assert_eq!(lines(&peer.requests()[0]), expected);
}

#[tokio::test]
async fn method_headers_and_body_are_sent_as_configured() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let options = format!(
        "url = 'http://{}'\nmethod = 'REPORT'\nbody = 'question'\n\
         headers = {{ Host = 'orders', User-Agent = 'me', X-Key = 'k', traceparent = 'mine' }}",
        peer.address
    );
    let (_spans, _guard) = Spans::record();
    ask_traced(&*check("http", &options)).await;
    let request = &peer.requests()[0];
    let lines = lines(request);
    assert_eq!(lines[0], "REPORT / HTTP/1.1");
    for line in
        ["host: orders", "user-agent: me", "x-key: k", "traceparent: mine", "content-length: 8"]
    {
        assert!(lines.contains(&line.to_owned()), "{line} in {lines:?}");
    }
    assert!(request.ends_with("\r\n\r\nquestion"));
}

#[tokio::test]
async fn a_request_that_may_have_a_body_says_how_long_it_is() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "")).await;
    for (options, length) in [
        ("method = 'POST'", Some("content-length: 0")),
        ("method = 'PUT'", Some("content-length: 0")),
        ("method = 'PATCH'", Some("content-length: 0")),
        ("method = 'DELETE'\nbody = ''", Some("content-length: 0")),
        ("method = 'DELETE'", None),
        ("method = 'GET'", None),
        ("method = 'HEAD'", None),
    ] {
        let options = format!("url = 'http://{}'\n{options}", peer.address);
        ask(&*check("http", &options), PATIENT).await.expect(&options);
        let lines = lines(&peer.requests().pop().expect("a request"));
        let found = lines.iter().find(|line| line.starts_with("content-length"));
        assert_eq!(found.map(String::as_str), length, "{options}");
    }
}

#[tokio::test]
async fn credentials_come_from_the_url_or_an_option() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let at = peer.address;
    for (options, expected) in [
        (format!("url = 'http://a%40b:p%3aw@{at}'"), "Basic YUBiOnA6dw=="),
        (format!("url = 'http://a@{at}'"), "Basic YTo="),
        (
            format!("url = 'http://{at}'\nbasic_auth = {{ username = 'a', password = 'ü:' }}"),
            "Basic YTrDvDo=",
        ),
        (format!("url = 'http://{at}'\nbearer = 'abc'"), "Bearer abc"),
    ] {
        ask(&*check("http", &options), PATIENT).await.expect("it is healthy");
        let request = peer.requests().pop().expect("a request");
        assert!(lines(&request).contains(&format!("authorization: {expected}")), "{request}");
    }
}

#[tokio::test]
async fn the_span_follows_the_conventions_and_its_context_is_sent() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "body")).await;
    let url = format!("url = 'http://u:p@{}/path?token=x'", peer.address);
    let (spans, _guard) = Spans::record();
    ask_traced(&*check("http", &url)).await;
    let span = spans.only();
    let port = peer.address.port().to_string();
    let full = format!("http://{}/path", peer.address);
    assert_eq!(span.name, "GET");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.full", &full),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &port),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attribute(&span, "error.type"), None);
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let trace = span.span_context.trace_id();
    let parent = format!("traceparent: 00-{trace}-{}-01", id(&span));
    assert!(lines(&peer.requests()[0]).contains(&parent), "{parent}");
}

#[tokio::test]
async fn methods_outside_of_the_conventions_are_other() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let options = format!("url = 'http://{}'\nmethod = 'PURGE'", peer.address);
    let (spans, _guard) = Spans::record();
    ask(&*check("http", &options), PATIENT).await.expect("it is healthy");
    let span = spans.only();
    assert_eq!(span.name, "HTTP");
    assert_eq!(attribute(&span, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(attribute(&span, "http.request.method_original").as_deref(), Some("PURGE"));
}

#[tokio::test]
async fn an_ipv6_address_is_asked() {
    let peer = Peer::start_v6(peer::answering(http_answer("200 OK", "", ""))).await;
    let check = check("http", &format!("url = 'http://[::1]:{}'", peer.address.port()));
    ask(&*check, PATIENT).await.expect("it is healthy");
    assert_eq!(check.server().expect("an address").address, "::1");
}

#[tokio::test]
async fn with_reuse_one_connection_serves_all_runs() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "body")).await;
    let check = check("http", &format!("url = 'http://{}'\nreuse = true", peer.address));
    for _ in 0..3 {
        ask(&*check, PATIENT).await.expect("it is healthy");
    }
    assert_eq!(peer.accepted(), 1);
    assert_eq!(peer.requests().len(), 3);
    assert!(!peer.requests()[0].contains("close"));
    drop(check);
    peer.has_seen_closed(1).await;
}

#[tokio::test]
async fn with_reuse_a_connection_that_the_peer_closed_is_reopened() {
    for method in ["GET", "POST"] {
        // It does not say that it will close, as after an idle time of its own.
        let script = peer::answering_once(http_answer("200 OK", "", ""));
        let peer = Peer::start(script).await;
        let options = format!("url = 'http://{}'\nreuse = true\nmethod = '{method}'", peer.address);
        let check = check("http", &options);
        for asked in 1..=3 {
            ask(&*check, PATIENT).await.expect("it is healthy");
            peer.has_seen_closed(asked).await;
            peer::settle().await;
        }
        assert_eq!(peer.accepted(), 3);
    }
}

#[tokio::test]
async fn with_reuse_only_what_may_be_repeated_is_sent_anew() {
    for (method, good) in [("GET", true), ("POST", false)] {
        // It closes just as the second request arrives.
        let script: Script = Arc::new(|wire| {
            Box::pin(async {
                let answered = peer::answering(http_answer("200 OK", "", ""))(wire);
                let _heard = answered.await?.read(&mut [0; 4096]).await.ok()?;
                None
            })
        });
        let peer = Peer::start(script).await;
        let options = format!("url = 'http://{}'\nreuse = true\nmethod = '{method}'", peer.address);
        let check = check("http", &options);
        ask(&*check, PATIENT).await.expect("it is healthy");
        let second = ask(&*check, PATIENT).await;
        assert_eq!(second.is_ok(), good, "{method}: {second:?}");
        assert_eq!(peer.accepted(), if good { 2 } else { 1 });
    }
}

#[tokio::test]
async fn with_reuse_a_failed_answer_ends_the_connection() {
    let peer = Peer::http(|_| http_answer("500 Internal Server Error", "", "body")).await;
    let check = check("http", &format!("url = 'http://{}'\nreuse = true", peer.address));
    for asked in 1..=2 {
        ask(&*check, PATIENT).await.expect_err("it fails");
        peer.has_seen_closed(asked).await;
    }
}

#[test]
fn every_option_that_is_wrong_is_told() {
    let url = "url = 'http://db'\n";
    for (options, expected) in [
        ("url = 'db:80'", "url: the scheme is not HTTP's; write http:// or https://"),
        ("url = 'ftp://db'", "url: the scheme is not HTTP's; write http:// or https://"),
        ("url = 'http://'", "url: this is no URL (empty host); write \"http://host/path\""),
        (
            "url = '/x'",
            "url: this is no URL (relative URL without a base); write \"http://host/path\"",
        ),
        ("url = 'http://db:0'", "url: port 0 is nobody's; write one from 1 to 65535"),
        ("method = 'get'", "method: methods are written in capitals; write \"GET\""),
        ("method = 'G T'", "method: this is no method; write one such as \"GET\" or \"POST\""),
        ("method = 'CONNECT'", "method: CONNECT asks for a tunnel; use the kind \"tcp\""),
        (
            "headers = { 'a b' = 'x' }",
            "headers.a b: this is no header name; write letters, digits and -",
        ),
        (
            "headers.x = \"a\\nb\"",
            "headers.x: the value holds a character that no header can; write it as ASCII",
        ),
        (
            "headers = { X = 'a', x = 'b' }",
            "headers.x: this header is given twice; headers differ in more than case",
        ),
        (
            "headers.Content-Length = '1'",
            "headers.Content-Length: the check itself sets this header; leave it out",
        ),
        (
            "headers.authorization = 'x'\nbearer = 'y'",
            "bearer: credentials are in `headers` already; give them once",
        ),
        (
            "basic_auth = { username = 'a:b', password = 'c' }",
            "basic_auth: the user name holds a colon; it must have none",
        ),
        (
            "bearer = \"a\\nb\"",
            "bearer: the token holds a character that no header can; write it as ASCII",
        ),
        (
            "expect.status = []",
            "expect.status: no status is expected, so none would do; write one such as \"2xx\"",
        ),
        (
            "expect.status = ['2xx', 99]",
            "expect.status[1]: invalid value: integer `99`, expected a status from 200 to 599, such as \"2xx\", \"200-204\" or 404",
        ),
        (
            "expect.body_regex = 'a{2,1}'",
            "expect.body_regex: invalid repetition count range, the start must be <= the end; write a regular expression of the regex crate",
        ),
        (
            "expect.json = { status = 1 }",
            "expect.json: status is no JSONPath; write one such as $.status",
        ),
        (
            "expect.headers = { x = '[' }",
            "expect.headers.x: unclosed character class; write a regular expression of the regex crate",
        ),
        (
            "method = 'HEAD'\nexpect.body_regex = 'x'",
            "expect: the answer to HEAD has no body; ask with GET or expect nothing of it",
        ),
        ("tls = true", "tls: an http URL is asked without TLS; write https:// or leave this out"),
        (
            "url = 'https://db'\ntls = false",
            "tls: an https URL is asked with TLS; write http:// or leave this out",
        ),
        (
            "url = 'https://db'\ntls = { cert = '/c' }",
            "tls.cert: a client certificate needs its key; add `key`",
        ),
        (
            "url = 'https://db'\ntls = { ca = '/c', insecure = true }",
            "tls.insecure: any certificate is accepted, so `ca` has no effect; leave out one of the two",
        ),
        (
            "max_body = -1",
            "max_body: invalid value: integer `-1`, expected a size such as \"512KiB\", \"1MiB\" or a number of bytes",
        ),
        ("timeout_ms = 1", "timeout_ms: unknown field `timeout_ms`"),
    ] {
        let options =
            if options.contains("url =") { options.to_owned() } else { format!("{url}{options}") };
        let told = errors("http", &options);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{options}: {told:?}");
    }
}

#[test]
fn every_cookie_token_and_rule_that_is_wrong_is_reported() {
    for (options, expected) in [
        ("bearer = ''", "bearer: the token is empty; write one, or leave this out"),
        ("bearer = ' '", "bearer: the token is empty; write one, or leave this out"),
        (
            "cookies = { 'a b' = '1' }",
            "cookies.a b: this is no name of a cookie; write letters, digits, - and _",
        ),
        (
            "cookies.a = 'b; c=d'",
            "cookies.a: the value holds what no cookie can; write it as ASCII without blanks and ;",
        ),
        (
            "cookies.a = 'b'\nheaders.Cookie = 'c=d'",
            "cookies: cookies are in `headers` already; give them once",
        ),
        (
            "expect.not_body_regex = '['",
            "expect.not_body_regex: unclosed character class; write a regular expression of the regex crate",
        ),
        (
            "expect.not_headers = { 'a b' = 'x' }",
            "expect.not_headers.a b: this is no header name; write letters, digits and -",
        ),
    ] {
        let found = errors("http", &format!("url = 'http://db'\n{options}"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{options}: {found:?}");
    }
}

#[test]
fn all_errors_are_told_at_once_and_without_the_secrets() {
    let options = format!(
        "url = 'gopher://u:{SECRET}@db'\nbearer = '{SECRET}'\nmethod = ''\nbody = '{SECRET}'\n\
         headers.connection = '{SECRET}'\nexpect.body_regex = '('"
    );
    let told = errors("http", &options);
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(!format!("{told:?}").contains(SECRET), "{told:?}");
}
