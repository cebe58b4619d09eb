//! The `grpc` kind, against tonic's health service and against peers that write their own frames.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SpanData;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::service::Interceptor;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use vitalsign::{Context, Detail, Failure, Reason};

use super::{Subject, contract_suite};
use crate::support::certs::{self, Authority, file};
use crate::support::checks::{PATIENT, ask, check, errors, failure};
use crate::support::daemon::{free_port, wait_for};
use crate::support::peer::{self, Peer};
use crate::support::python::interpreter;
use crate::support::spans::{Spans, attribute, events, id};

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const DATA: u8 = 0;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Fields in HPACK, each as a literal; a status of 200 first.
fn fields(ok: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let literal = |(name, value): &(&str, &str)| [vec![0], text(name), text(value)].concat();
    let status = if ok { vec![0x88] } else { vec![] };
    [status, fields.iter().flat_map(literal).collect()].concat()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// The start of an answer: settings and a head.
fn start() -> Vec<u8> {
    let head = fields(true, &[GRPC]);
    [frame(SETTINGS, 0, 0, b""), frame(HEADERS, END_HEADERS, 1, &head)].concat()
}

/// A whole answer of this message with its prefix and these trailers.
fn answer(message: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    let end = END_HEADERS | END_STREAM;
    let trailers = frame(HEADERS, end, 1, &fields(false, trailers));
    [start(), frame(DATA, 0, 1, message), trailers].concat()
}

/// An answer that is nothing but a head.
fn head(fields: &[u8]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, fields);
    [frame(SETTINGS, 0, 0, b""), head].concat()
}

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

fn subject() -> Subject {
    static START: LazyLock<Vec<u8>> = LazyLock::new(start);
    static MORE: LazyLock<Vec<u8>> = LazyLock::new(|| frame(DATA, 0, 1, &[0; 1000]));
    // A frame that announces as much as one may, and never has it.
    static TRICKLED: LazyLock<Vec<u8>> =
        LazyLock::new(|| [start(), vec![0, 0x40, 0, DATA, 0, 0, 0, 0, 1]].concat());
    Subject {
        kind: "grpc",
        options: |address| format!("address = '{address}'"),
        healthy: peer::answering(answer(SERVING, &[("grpc-status", "0")])),
        trickled: &TRICKLED,
        endless: peer::endless(&START, &MORE),
        denying: Some(peer::answering(head(&fields(true, &[GRPC, ("grpc-status", "16")])))),
        garbage: Reason::Protocol,
    }
}

// All of the suite but for secrets, of which this kind has none.
contract_suite! { subject:
    healthy as a_healthy_peer_is_a_success_and_each_run_closes_its_connection,
    refused as a_refused_connection_is_told_with_its_address,
    silent as a_silent_peer_is_left_at_the_deadline,
    trickle as an_answer_byte_by_byte_is_left_at_the_deadline,
    cancelled_span as a_cancelled_run_ends_its_span_as_a_timeout,
    garbage as an_answer_in_no_protocol_is_told_apart,
    closed_early as a_peer_that_closes_at_once_is_a_reset_connection,
    oversized as an_answer_without_end_is_too_large,
    denied as refused_credentials_are_told_apart,
}

/// Asks the server at `address` for `service`.
async fn asked(address: impl std::fmt::Display, more: &str) -> Result<Detail, Failure> {
    ask(&*check("grpc", &format!("address = '{address}'\n{more}")), PATIENT).await
}

/// Why a peer that answers with `bytes` fails.
async fn fails(bytes: Vec<u8>) -> (Reason, String) {
    let peer = Peer::start(peer::answering(bytes)).await;
    let failure = failure("grpc", &format!("address = '{}'", peer.address)).await;
    peer.has_seen_closed(1).await;
    (failure.reason(), failure.message().to_owned())
}

/// The spans of calls; what tonic itself notes on this thread is left out.
fn calls(spans: &Spans) -> Vec<SpanData> {
    spans.ended().into_iter().filter(|span| span.span_kind == SpanKind::Client).collect()
}

#[tokio::test]
async fn what_is_almost_an_answer_is_told_apart() {
    let ok = ("grpc-status", "0");
    let html = fields(true, &[("content-type", "text/html")]);
    let not_found = [&[0x8d], &*fields(false, &[GRPC])].concat();
    let going = frame(GO_AWAY, 0, 0, &[0; 8]);
    for (bytes, reason, text) in [
        (answer(&[0, 0, 0, 0, 2, 8, 2], &[ok]), Reason::NotServing, "says NOT_SERVING of"),
        (answer(&[0, 0, 0, 0, 0], &[ok]), Reason::NotServing, "says UNKNOWN of the server"),
        (answer(&[0, 0, 0, 0, 2, 8, 9], &[ok]), Reason::NotServing, "a status that the protocol"),
        (answer(&[1, 0, 0, 0, 2, 8, 1], &[ok]), Reason::Protocol, "no HealthCheckResponse"),
        (answer(&[0, 0, 0, 0, 3, 8, 1], &[ok]), Reason::Protocol, "no HealthCheckResponse"),
        (answer(&[0, 0, 0, 0, 1, 8], &[ok]), Reason::Protocol, "no HealthCheckResponse"),
        (answer(&[0, 0, 1, 0, 0, 8], &[ok]), Reason::TooLarge, "more than 16 KiB"),
        (answer(SERVING, &[]), Reason::Protocol, "without a status of gRPC"),
        (answer(b"", &[ok]), Reason::Protocol, "no HealthCheckResponse"),
        (head(&html), Reason::Protocol, "HTTP that is not gRPC"),
        (
            head(&not_found),
            Reason::Protocol,
            "answered HTTP status 404 Not Found, to gRPC UNIMPLEMENTED",
        ),
        ([frame(SETTINGS, 0, 0, b""), going].concat(), Reason::NotServing, "turned the call away"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Reason::Protocol, "does not speak HTTP/2"),
    ] {
        let (found, told) = fails(bytes).await;
        assert_eq!(found, reason, "{told}");
        assert!(told.contains(text), "{told}");
    }
}

#[tokio::test]
async fn an_answer_of_a_proxy_is_told_by_the_table_of_grpc() {
    let html = ("content-type", "text/html");
    let of = |status, more: &[_]| {
        let status = [&[(":status", status)], &[html][..], more].concat();
        head(&fields(false, &status))
    };
    for (status, name, reason) in [
        ("401", "UNAUTHENTICATED", Reason::AuthFailed),
        ("403", "PERMISSION_DENIED", Reason::AuthFailed),
        ("429", "UNAVAILABLE", Reason::NotServing),
        ("500", "UNKNOWN", Reason::UnexpectedStatus),
        ("502", "UNAVAILABLE", Reason::NotServing),
        ("503", "UNAVAILABLE", Reason::NotServing),
        ("504", "UNAVAILABLE", Reason::NotServing),
    ] {
        let (spans, _guard) = Spans::record();
        let (found, text) = fails(of(status, &[])).await;
        assert_eq!(found, reason, "{text}");
        assert!(text.contains(&format!("answered HTTP status {status}")), "{text}");
        assert!(text.ends_with(&format!("to gRPC {name}")), "{text}");
        let [span] = &calls(&spans)[..] else { panic!("one call") };
        assert_eq!(attribute(span, "rpc.status_code").as_deref(), Some(name));
    }
    // A status of gRPC comes first, whatever that of HTTP is.
    let (found, text) = fails(of("503", &[("grpc-status", "8"), ("grpc-message", "")])).await;
    assert_eq!(found, Reason::Overloaded, "{text}");
    assert!(text.ends_with("answered RESOURCE_EXHAUSTED for the server"), "{text}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_not_read() {
    let long = "x".repeat(120);
    let many: Vec<_> = (0..150).map(|_| ("x-filler", long.as_str())).collect();
    let block = fields(true, &many);
    let first = frame(HEADERS, END_STREAM, 1, &block[..15_000]);
    let more = frame(9, END_HEADERS, 1, &block[15_000..]);
    let (reason, text) = fails([frame(SETTINGS, 0, 0, b""), first, more].concat()).await;
    assert_eq!(reason, Reason::Protocol, "{text}");
    assert!(text.contains("headers that are malformed or exceed 16 KiB"), "{text}");
}

/// tonic's health service on a loopback port; it ends with this value.
struct Health {
    address: SocketAddr,
    reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Health {
    async fn start(
        identity: Option<certs::Identity>,
        interceptor: impl Interceptor + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let mut server = Server::builder();
        if let Some(certs::Identity { cert, key }) = identity {
            let tls = ServerTlsConfig::new().identity(Identity::from_pem(cert, key));
            server = server.tls_config(tls).unwrap();
        }
        let server = server.add_service(HealthServer::with_interceptor(service, interceptor));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { address, reporter, task }
    }

    async fn plain() -> Self {
        Self::start(None, Ok).await
    }
}

#[tokio::test]
async fn a_service_is_asked_by_its_name_and_by_the_conventions_of_its_spans() {
    let server = Health::plain().await;
    server.reporter.set_service_status("a.B", ServingStatus::NotServing).await;
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(server.address, "").await, Ok(Detail::ok()));
    let down = asked(server.address, "service = 'a.B'").await.expect_err("it does not serve");
    assert_eq!(down.reason(), Reason::NotServing);
    assert!(down.message().ends_with("says NOT_SERVING of `a.B`"), "{}", down.message());
    server.reporter.set_service_status("a.B", ServingStatus::Serving).await;
    assert_eq!(asked(server.address, "service = 'a.B'").await, Ok(Detail::ok()));
    let port = server.address.port().to_string();
    // Whatever it says of the service, the call went well.
    let calls = calls(&spans);
    assert_eq!(calls.len(), 3);
    for span in &calls {
        assert_eq!(span.name, "grpc.health.v1.Health/Check");
        assert_eq!(span.status, Status::Unset);
        assert_eq!(events(span), ["connect", "request", "transfer"]);
        for (key, value) in [
            ("rpc.system.name", Some("grpc")),
            ("rpc.method", Some("grpc.health.v1.Health/Check")),
            ("rpc.status_code", Some("OK")),
            ("server.address", Some("127.0.0.1")),
            ("server.port", Some(&*port)),
            ("error.type", None),
        ] {
            assert_eq!(attribute(span, key).as_deref(), value, "{key}");
        }
    }
}

#[tokio::test]
async fn a_service_that_the_server_does_not_know_does_not_serve() {
    let server = Health::plain().await;
    let (spans, _guard) = Spans::record();
    let unknown = asked(server.address, "service = 'a.C'").await.expect_err("it is unknown");
    assert_eq!(unknown.reason(), Reason::NotServing);
    assert!(unknown.message().contains("answered NOT_FOUND for `a.C`"), "{}", unknown.message());
    let [span] = &calls(&spans)[..] else { panic!("one call") };
    assert_eq!(span.status, Status::error("not serving"));
    assert_eq!(attribute(span, "rpc.status_code").as_deref(), Some("NOT_FOUND"));
    assert_eq!(attribute(span, "error.type").as_deref(), Some("not_serving"));
}

#[tokio::test]
async fn a_server_without_the_health_protocol_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = tonic::service::Routes::default();
    let server = Server::builder().add_routes(routes);
    let task = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let without = asked(address, "").await.expect_err("it has none");
    assert_eq!(without.reason(), Reason::Protocol);
    assert!(without.message().contains("UNIMPLEMENTED"), "{}", without.message());
    task.abort();
}

#[tokio::test]
async fn the_trace_context_and_the_deadline_go_along() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let note = move |request: tonic::Request<()>| {
        noted.lock().unwrap().push(request.metadata().clone());
        Ok(request)
    };
    let server = Health::start(None, note).await;
    let (spans, _guard) = Spans::record();
    let check = check("grpc", &format!("address = '{}'", server.address));
    let propagator = Arc::new(TraceContextPropagator::new());
    check.run(&Context::new(Instant::now() + PATIENT, Some(propagator))).await.expect("it serves");
    let [span] = &calls(&spans)[..] else { panic!("one call") };
    let seen = seen.lock().unwrap();
    let [metadata] = &seen[..] else { panic!("{seen:?}") };
    let sent = |key| metadata.get(key).map(|value| value.to_str().unwrap().to_owned());
    let parent = format!("00-{}-{}-01", span.span_context.trace_id(), id(span));
    assert_eq!(sent("traceparent"), Some(parent));
    assert_eq!(sent("te").as_deref(), Some("trailers"));
    let left = sent("grpc-timeout").expect("a timeout");
    let millis: u128 = left.strip_suffix('m').expect("milliseconds").parse().unwrap();
    assert!(millis <= PATIENT.as_millis() && millis > 0, "{left}");
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let server = Health::start(Some(authority.issue("localhost")), Ok).await;
    let address = format!("localhost:{}", server.address.port());
    for (ca, wanted) in [(&authority, None), (&Authority::new(), Some(Reason::TlsUntrusted))] {
        let ca = file(&ca.pem);
        let (spans, _guard) = Spans::record();
        let verdict = asked(&address, &format!("tls.ca = '{}'", ca.path().display())).await;
        assert_eq!(verdict.err().map(|failure| failure.reason()), wanted);
        assert_eq!(events(&calls(&spans)[0])[..3], ["resolve", "connect", "tls"]);
    }
}

#[tokio::test]
async fn a_server_that_does_not_agree_on_http_2_is_told() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let config = authority.issue("localhost").server(None);
    let peer = Peer::start_tls(config, peer::silent()).await;
    let options = format!(
        "address = 'localhost:{}'\ntls.ca = '{}'",
        peer.address.port(),
        ca.path().display()
    );
    let failure = failure("grpc", &options).await;
    assert_eq!(failure.reason(), Reason::Protocol);
    assert!(failure.message().contains("does not offer HTTP/2"), "{}", failure.message());
}

#[tokio::test]
async fn a_server_that_somebody_else_wrote_is_understood() {
    let Some(python) = interpreter("grpcio-health-checking") else { return };
    let authority = Authority::new();
    let identity = authority.issue("localhost");
    let [ca, cert, key] = [&authority.pem, &identity.cert, &identity.key].map(|pem| file(pem));
    let [plain, secure] = [free_port(), free_port()];
    let mut child = tokio::process::Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/grpc_server.py"))
        .args([plain.to_string(), secure.to_string()])
        .args([cert.path(), key.path()])
        .kill_on_drop(true)
        .spawn()
        .expect("to start Python");
    let address = format!("127.0.0.1:{plain}");
    wait_for("the server to answer", async || {
        assert!(child.try_wait().unwrap().is_none(), "the server has ended");
        asked(&address, "").await.is_ok()
    })
    .await;
    for (service, wanted) in [
        ("serving", None),
        ("not-serving", Some("says NOT_SERVING of `not-serving`")),
        ("unknown", Some("says UNKNOWN of `unknown`")),
        ("nowhere", Some("answered NOT_FOUND for `nowhere`")),
    ] {
        let verdict = asked(&address, &format!("service = '{service}'")).await;
        let found = verdict.err().map(|f| (f.reason(), f.message().contains(wanted.unwrap_or(""))));
        assert_eq!(found, wanted.map(|_| (Reason::NotServing, true)), "{service}");
    }
    let tls = format!("tls.ca = '{}'", ca.path().display());
    assert_eq!(asked(format!("localhost:{secure}"), &tls).await, Ok(Detail::ok()));
    let refused = asked(format!("localhost:{secure}"), "").await.expect_err("it wants TLS");
    assert!(matches!(refused.reason(), Reason::ConnectionReset | Reason::Protocol));
}

#[test]
fn every_option_that_is_wrong_is_told() {
    let errors = errors("grpc", "address = 'orders'\ntls = { ca = '/nowhere/ca.pem' }");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("address: the port is missing; write "), "{errors:?}");
    assert!(errors[1].starts_with("tls.ca: /nowhere/ca.pem cannot be read: No such file"));
}
