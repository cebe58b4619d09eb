//! A check by a host's own HTTP client, against peers that behave and that do not.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use tokio::time::Instant;
use vitalsign::checks::reqwest::get;
use vitalsign::{Check, Context, Detail, Failure, Reason, Server};

use crate::support::certs::Authority;
use crate::support::checks::{PATIENT, SHORT, ask};
use crate::support::peer::{self, Peer, http_answer};
use crate::support::spans::{Spans, attribute, events, id};

const SECRET: &str = "Pa55word";

/// A host's client, which trusts no authority.
pub(super) fn builder() -> ClientBuilder {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder().no_proxy().tls_backend_preconfigured(config)
}

/// A check of the path on `peer`, with what is secret in its URL.
fn check(client: ClientBuilder, peer: &Peer, path: &str) -> impl Check + use<> {
    let url = format!("http://user:{SECRET}@{}{path}?key={SECRET}", peer.address);
    get(client.build().expect("a client"), url.parse().expect("a URL"))
}

async fn failed(check: &dyn Check) -> Failure {
    let failure = ask(check, PATIENT).await.expect_err("the run fails");
    assert!(!format!("{failure:?}").contains(SECRET), "{failure:?}");
    failure
}

#[tokio::test]
async fn a_good_run_uses_the_hosts_client_and_tells_by_the_conventions() {
    let peer = Peer::http(|_| http_answer("204 No Content", "", "")).await;
    let check = check(builder().user_agent("orders/1"), &peer, "/up");
    let port = peer.address.port();
    assert_eq!(check.kind(), "http");
    let server = Server { address: "127.0.0.1".to_owned(), port: Some(port) };
    assert_eq!(check.server(), Some(server));
    let (spans, _guard) = Spans::record();
    let propagator = Arc::new(TraceContextPropagator::new());
    let cx = Context::new(Instant::now() + PATIENT, Some(propagator));
    assert_eq!(check.run(&cx).await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!((&*span.name, &span.status), ("GET", &Status::Unset));
    assert_eq!(events(&span), ["request", "transfer"]);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "204"),
        ("url.full", &format!("http://{}/up", peer.address)),
        ("server.address", "127.0.0.1"),
        ("server.port", &port.to_string()),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    let requests = peer.requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert!(request.starts_with(&format!("GET /up?key={SECRET} HTTP/1.1\r\n")), "{request}");
    assert!(request.contains("user-agent: orders/1\r\n"), "{request}");
    let context = format!("traceparent: 00-{}-{}-01", span.span_context.trace_id(), id(&span));
    assert!(request.contains(&context), "{request}");
}

#[tokio::test]
async fn the_connection_goes_back_to_the_hosts_pool() {
    let peer = Peer::http(|_| http_answer("200 OK", "", "fine")).await;
    let check = check(builder(), &peer, "/");
    for _ in 0..3 {
        assert_eq!(ask(&check, PATIENT).await, Ok(Detail::ok()));
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn any_other_status_than_2xx_fails() {
    for (status, reason, is_error) in [
        ("500 Internal Server Error", Reason::UnexpectedStatus, true),
        ("404 Not Found", Reason::UnexpectedStatus, true),
        ("401 Unauthorized", Reason::AuthFailed, true),
        ("407 Proxy Authentication Required", Reason::AuthFailed, true),
        ("302 Found", Reason::UnexpectedStatus, false),
    ] {
        let peer = Peer::http(move |_| http_answer(status, "Location: /\r\n", "")).await;
        let check = check(builder().redirect(Policy::none()), &peer, "/");
        let (spans, _guard) = Spans::record();
        let failure = failed(&check).await;
        assert_eq!(failure.reason(), reason, "{status}");
        assert!(failure.message().contains(&format!("answered {status}")), "{failure:?}");
        let error = attribute(&spans.only(), "error.type");
        assert_eq!(error.as_deref(), is_error.then(|| reason.as_str()), "{status}");
    }
}

#[tokio::test]
async fn redirects_are_the_clients_to_follow_and_to_stop() {
    let circle = Peer::http(|_| http_answer("302 Found", "Location: /again\r\n", "")).await;
    let failure = failed(&check(builder().redirect(Policy::limited(2)), &circle, "/")).await;
    assert_eq!(failure.reason(), Reason::TooManyRedirects);
}

#[tokio::test]
async fn whatever_keeps_an_answer_away_is_told() {
    let (_held, refusing) = peer::refusing();
    let client = || builder().build().expect("a client");
    let refused = get(client(), format!("http://{refusing}/").parse().expect("a URL"));
    assert_eq!(failed(&refused).await.reason(), Reason::ConnectionRefused);

    let nowhere = get(client(), "http://nowhere.invalid/".parse().expect("a URL"));
    let reason = failed(&nowhere).await.reason();
    assert!(matches!(reason, Reason::DnsNotFound | Reason::DnsFailed), "{reason}");

    let closing = Peer::start(peer::closing()).await;
    let reason = failed(&check(builder(), &closing, "/")).await.reason();
    assert_eq!(reason, Reason::ConnectionReset);

    let garbage = Peer::start(peer::answering("what is that?\r\n\r\n")).await;
    assert_eq!(failed(&check(builder(), &garbage, "/")).await.reason(), Reason::Protocol);

    let silent = Peer::start(peer::silent()).await;
    let late = ask(&check(builder(), &silent, "/"), SHORT).await.expect_err("it is silent");
    assert_eq!(late.reason(), Reason::Timeout);
    let limited = builder().timeout(Duration::from_millis(100));
    assert_eq!(failed(&check(limited, &silent, "/")).await.reason(), Reason::Timeout);

    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour";
    let cut = Peer::start(peer::answering_once(&cut[..])).await;
    let failure = failed(&check(builder(), &cut, "/")).await;
    assert_eq!(failure.reason(), Reason::ConnectionReset, "{failure:?}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_untrusted() {
    let config = Authority::new().issue("localhost").server(None);
    let peer = Peer::https(config, |_| http_answer("200 OK", "", "")).await;
    let url = format!("https://localhost:{}/", peer.address.port());
    let check = get(builder().build().expect("a client"), url.parse().expect("a URL"));
    assert_eq!(failed(&check).await.reason(), Reason::TlsUntrusted);
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_off_and_is_no_failure() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let endless = Peer::start(peer::endless(head, &[b'a'; 4096])).await;
    assert_eq!(ask(&check(builder(), &endless, "/"), PATIENT).await, Ok(Detail::ok()));
    endless.has_seen_closed(1).await;
}
