//! The `websocket` kind: what it sends, what it makes of answers, and how it is configured.

mod messages;
mod server;

use std::sync::Arc;

use opentelemetry::trace::Status;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use vitalsign::{Context, Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::checks::{PATIENT, ask, check, errors};
use crate::support::peer::{self, Peer, Script, http_answer};
use crate::support::spans::{self, Spans, attribute, events, id};

/// The answer to the ping of a check, and to its farewell.
const PONG: &[u8] = b"\x8a\x09vitalsign";
const CLOSE: &[u8] = b"\x88\x02\x03\xe8";

fn subject() -> Subject {
    Subject {
        kind: "websocket",
        options: |address| {
            format!(
                "url = 'ws://user:{SECRET}@{address}/feed?token={SECRET}'\nsend = '{SECRET}'\n\
                 headers.x-key = '{SECRET}'"
            )
        },
        healthy: opening([PONG, CLOSE].concat()),
        trickled: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: ",
        endless: peer::endless(b"HTTP/1.1 101 Switching Protocols\r\nX: ", &[b'a'; 1000]),
        denying: Some(peer::answering(http_answer("401 Unauthorized", "", ""))),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

/// The right answer to `request`, with further `headers`, each with its line end.
fn accepted(request: &str, headers: &str) -> String {
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(key.expect("a key").1.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
}

/// Opens a WebSocket, and sends `frames` over it.
fn opening(frames: impl Into<Vec<u8>>) -> Script {
    going_on(frames, b"")
}

/// As [`opening`], and then sends `more` for ever, many at once.
fn going_on(frames: impl Into<Vec<u8>>, more: &'static [u8]) -> Script {
    let more: Arc<[u8]> = more.repeat(1000).into();
    let frames: Arc<[u8]> = frames.into().into();
    Arc::new(move |mut wire| {
        let (frames, more) = (Arc::clone(&frames), Arc::clone(&more));
        Box::pin(async move {
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if wire.read_buf(&mut request).await.ok()? == 0 {
                    return None;
                }
            }
            let answer = accepted(&String::from_utf8_lossy(&request), "");
            wire.write_all(&[answer.as_bytes(), &frames].concat()).await.ok()?;
            while !more.is_empty() {
                wire.write_all(&more).await.ok()?;
            }
            Some(wire)
        })
    })
}

async fn asked(peer: &Peer, more: &str) -> Result<Detail, Failure> {
    let options = format!("url = 'ws://{}/feed'\n{more}", peer.address);
    ask(&*check("websocket", &options), PATIENT).await
}

/// Why asking `peer` fails.
async fn failed(peer: &Peer, more: &str) -> (Reason, String) {
    let failure = asked(peer, more).await.expect_err("the run fails");
    (failure.reason(), failure.message().to_owned())
}

/// The lines of the head of a request, sorted, but for the key, which is random.
fn lines(request: &str) -> Vec<String> {
    let (head, _) = request.split_once("\r\n\r\n").expect("a head");
    let key = |line: &&str| !line.starts_with("sec-websocket-key: ");
    let mut lines: Vec<_> = head.lines().filter(key).map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

/// A server that opens a WebSocket with further `headers`, and answers a ping.
async fn willing(headers: &'static str) -> Peer {
    Peer::http(|request| [accepted(request, headers).as_bytes(), PONG, CLOSE].concat()).await
}

#[tokio::test]
async fn an_ordinary_request_asks_for_nothing_unusual() {
    let peer = willing("").await;
    for _ in 0..2 {
        let url = format!("url = 'ws://{}/a%20b?c=d#e'", peer.address);
        ask(&*check("websocket", &url), PATIENT).await.expect("it is healthy");
    }
    let expected = [
        "GET /a%20b?c=d HTTP/1.1".to_owned(),
        "connection: Upgrade".to_owned(),
        format!("host: {}", peer.address),
        "sec-websocket-version: 13".to_owned(),
        "upgrade: websocket".to_owned(),
        concat!("user-agent: vitalsign/", env!("CARGO_PKG_VERSION")).to_owned(),
    ];
    let [first, second] = &peer.requests()[..] else { panic!("two requests") };
    assert_eq!(lines(first), expected);
    assert_ne!(first, second, "each has a key of its own");
}

#[tokio::test]
async fn headers_and_credentials_are_sent_as_configured() {
    let peer = willing("Sec-WebSocket-Protocol: mqtt\r\n").await;
    let at = peer.address;
    let of = |options: &str| format!("url = 'ws://{at}'\nsubprotocol = 'mqtt'\n{options}");
    for (options, line) in [
        (of("headers = { Host = 'orders', X-Key = 'k' }"), "host: orders"),
        (of("headers = { Host = 'orders', X-Key = 'k' }"), "x-key: k"),
        (of("headers = { Origin = 'https://orders' }"), "origin: https://orders"),
        (of("basic_auth = { username = 'a', password = 'b' }"), "authorization: Basic YTpi"),
        (of("bearer = 'abc'"), "authorization: Bearer abc"),
        (of("").replace("ws://", "ws://a:b@"), "authorization: Basic YTpi"),
        (of(""), "sec-websocket-protocol: mqtt"),
    ] {
        ask(&*check("websocket", &options), PATIENT).await.expect("it is healthy");
        let sent = lines(&peer.requests().pop().expect("a request"));
        assert!(sent.contains(&line.to_owned()), "{line} in {sent:?}");
    }
}

#[tokio::test]
async fn the_span_follows_the_conventions_and_its_context_is_sent() {
    let peer = willing("").await;
    let url = format!("url = 'ws://u:p@{}/path?token=x'", peer.address);
    let (spans, _guard) = Spans::record();
    let cx = Context::new(Instant::now() + PATIENT, Some(Arc::new(TraceContextPropagator::new())));
    spans::prepare();
    check("websocket", &url).run(&cx).await.expect("it is healthy");
    let span = spans.only();
    let port = peer.address.port().to_string();
    let full = format!("ws://{}/path", peer.address);
    assert_eq!((&*span.name, &span.status), ("GET", &Status::Unset));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "101"),
        ("url.full", &full),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let parent = format!("traceparent: 00-{}-{}-01", span.span_context.trace_id(), id(&span));
    assert!(lines(&peer.requests()[0]).contains(&parent), "{parent}");
}

#[tokio::test]
async fn another_status_than_101_is_told_by_what_it_says() {
    for (status, reason, is_error) in [
        ("401 Unauthorized", Reason::AuthFailed, true),
        ("403 Forbidden", Reason::AuthFailed, true),
        ("407 Proxy Authentication Required", Reason::AuthFailed, true),
        ("404 Not Found", Reason::UnexpectedStatus, true),
        ("503 Service Unavailable", Reason::UnexpectedStatus, true),
        ("200 OK", Reason::UnexpectedStatus, false),
        ("302 Found", Reason::UnexpectedStatus, false),
    ] {
        let peer = Peer::http(move |_| http_answer(status, "", "no")).await;
        let (spans, _guard) = Spans::record();
        let (found, text) = failed(&peer, "").await;
        assert_eq!(found, reason, "{text}");
        assert!(text.contains(&format!("{} answered {status}", peer.address)), "{text}");
        assert_eq!(matches!(spans.only().status, Status::Error { .. }), is_error, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_opens_something_else_is_no_websocket() {
    type Change = fn(String) -> String;
    let cases: [(Change, &str, Reason, &str); 6] = [
        (|answer| answer.replace("Accept: ", "Accept: x"), "", Reason::Protocol, "key is wrong"),
        (|answer| answer.replace(": websocket", ": h2c"), "", Reason::Protocol, "does not upgrade"),
        (
            |answer| answer.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
            "",
            Reason::Protocol,
            "subprotocol that nobody asked for",
        ),
        (
            |answer| answer.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
            "",
            Reason::Protocol,
            "extension that nobody asked for",
        ),
        (|answer| answer, "subprotocol = 'mqtt'", Reason::UnexpectedBody, "subprotocol mqtt"),
        (|answer| answer.replace("HTTP/1.1", "SSH-2.0"), "", Reason::Protocol, "HTTP/1.1"),
    ];
    for (change, options, reason, told) in cases {
        let peer = Peer::http(move |request| change(accepted(request, "")).into_bytes()).await;
        let (found, text) = failed(&peer, options).await;
        assert_eq!(found, reason, "{text}");
        assert!(text.starts_with(&peer.address.to_string()) && text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn odd_heads_are_read_as_curl_reads_them() {
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 5] = [
        ("a folded header", |answer| answer.replace("\r\n\r\n", "\r\nX: one,\r\n\ttwo\r\n\r\n")),
        ("a folded list", |answer| answer.replace(": Upgrade", ": keep-alive,\r\n Upgrade")),
        ("blanks before a colon", |answer| answer.replace("Upgrade: w", "Upgrade : w")),
        ("a control character", |answer| {
            answer.replace("\r\n\r\n", "\r\nSet-Cookie: a=b\u{1}c\r\nSet-Cookie: d=e\r\n\r\n")
        }),
        ("an interim answer", |answer| format!("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n{answer}")),
    ];
    for (what, change) in changes {
        let peer = Peer::http(move |request| {
            [change(accepted(request, "")).as_bytes(), PONG, CLOSE].concat()
        })
        .await;
        asked(&peer, "").await.expect(what);
    }
}

#[test]
fn every_option_that_is_wrong_is_told_without_secrets() {
    let url = "url = 'ws://orders/feed'";
    let with = |more: &str| format!("{url}\n{more}");
    for (options, wrong) in [
        (format!("url = '{SECRET}'"), "url: this is no URL"),
        (format!("url = 'http://u:{SECRET}@orders'"), "url: the scheme is not WebSocket's; write "),
        ("url = 'ws://orders:0'".to_owned(), "url: port 0 is nobody's"),
        (with("subprotocol = 'a b'"), "subprotocol: this is no subprotocol"),
        (with("expect.regex = '('"), "expect.regex: "),
        (with("tls = true"), "tls: a ws URL is asked without TLS"),
        ("url = 'wss://orders'\ntls = false".to_owned(), "tls: a wss URL is asked with TLS"),
        (with("headers.Sec-WebSocket-Key = 'a'"), "headers.Sec-WebSocket-Key: the check itself"),
        (with("bearer = ''"), "bearer: the token is empty"),
        (with("headers.Upgrade = 'h2c'"), "headers.Upgrade: the check itself"),
        (
            format!("url = 'ws://u:{SECRET}@orders'\nbearer = '{SECRET}'"),
            "bearer: credentials are in `url` already",
        ),
    ] {
        let told = errors("websocket", &options);
        assert!(told.len() == 1 && told[0].starts_with(wrong), "{options}: {told:?}");
        assert!(!told[0].contains(SECRET), "{told:?}");
    }
}
