//! The listening server over TLS, and HTTP/2 on it.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use vitalsign::http::{Server, tls_config};

use crate::support::http::Client;
use crate::support::stage::{LONG, Running, patient, quick, recorder, rejected, router, stage};

/// A certificate for the server, and a connector that trusts it alone.
fn tls(server: Server) -> (Server, impl Fn(SocketAddr, &'static [u8]) -> Connecting) {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    let config =
        tls_config(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let connect = move |address, protocol: &'static [u8]| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports them")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = vec![protocol.to_vec()];
        let connecting: Connecting = Box::pin(async move {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            let name = "localhost".try_into().expect("a name");
            let connector = TlsConnector::from(Arc::new(client));
            connector.connect(name, stream).await.expect("a handshake")
        });
        connecting
    };
    (server.tls(config.expect("they fit")), connect)
}

type Connecting = Pin<Box<dyn Future<Output = TlsStream<TcpStream>> + Send>>;
type Http2 = http2::SendRequest<Empty<Bytes>>;

/// An HTTP/2 connection whose client takes at most `window` bytes that it has not read.
async fn http2(stream: TlsStream<TcpStream>, window: u32) -> (Http2, CancellationToken) {
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await
        .expect("an HTTP/2 connection");
    let closed = CancellationToken::new();
    let ended = closed.clone().drop_guard();
    tokio::spawn(async move {
        let _ended = ended;
        let _ = connection.await;
    });
    (sender, closed)
}

fn get_request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Empty::new()).expect("a request")
}

#[tokio::test]
async fn tls_carries_http1_and_http2() {
    let (server, connect) = tls(patient());
    let running = Running::start(server, router(&stage().0)).await;
    let mut client = Client::over(connect(running.address, b"http/1.1").await);
    assert_eq!(client.get("/").await.body, "hello");
    assert_eq!(client.get("/").await.body, "hello");

    let (mut sender, _) = http2(connect(running.address, b"h2").await, 65_535).await;
    let answer = sender.send_request(get_request("/peer")).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, Ipv4Addr::LOCALHOST.to_string());
    drop(sender);
    assert_eq!(running.stop().await.requests_cut, 0);
}

#[tokio::test]
async fn a_kept_connection_is_closed_by_a_stop_as_tls_has_it() {
    let (server, connect) = tls(patient());
    let running = Running::start(server, router(&stage().0)).await;
    // The server is done with the first handshake by the time that it answers the second client.
    let silent = connect(running.address, b"http/1.1").await;
    let mut stream = connect(running.address, b"http/1.1").await;
    assert_eq!(Client::over(&mut stream).get("/").await.body, "hello");
    assert_eq!(running.stop().await.requests_cut, 0);
    for mut stream in [stream, silent] {
        // Without close_notify rustls reports that the connection was cut.
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest).await;
        assert!(read.is_ok_and(|count| count == 0), "{rest:?}");
    }
}

#[tokio::test]
async fn a_tls_client_that_closes_its_sending_half_gets_its_answer() {
    let (stage, mut waiting) = stage();
    let (server, connect) = tls(patient());
    let running = Running::start(server, router(&stage)).await;
    let mut client = Client::over(connect(running.address, b"http/1.1").await);
    client.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    client.end_sending().await;
    stage.release.add_permits(1);
    assert_eq!(client.answer().await.expect("an answer").body, "waited");
    assert_eq!(client.closed().await, 0);
}

#[tokio::test]
async fn a_tls_port_refuses_what_is_not_tls_and_silence() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (server, _) = tls(quick());
    let running = Running::start(server, router(&stage().0)).await;
    let mut plain = Client::connect(running.address).await;
    plain.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    plain.closed().await;
    assert_eq!(rejected(&metrics), ["tls_handshake 1"]);
    Client::connect(running.address).await.closed().await;
    assert_eq!(rejected(&metrics), ["header_timeout 1", "tls_handshake 1"]);
}

#[tokio::test]
async fn a_handshake_that_is_not_complete_does_not_delay_a_stop() {
    let (server, _) = tls(patient());
    let running = Running::start(server, router(&stage().0)).await;
    let mut silent = Client::connect(running.address).await;
    // Accepted in turn: once the second is closed the first is in its handshake.
    let mut plain = Client::connect(running.address).await;
    plain.send("this is not TLS\r\n").await;
    plain.closed().await;
    assert_eq!(running.stop().await.requests_cut, 0);
    assert_eq!(silent.closed().await, 0);
}

#[tokio::test]
async fn an_http2_stream_in_flight_is_finished_on_a_stop_and_cut_at_the_deadline() {
    for grace in [LONG, Duration::from_millis(50)] {
        let (stage, mut waiting) = stage();
        let (server, connect) = tls(patient());
        let running = Running::start(server, router(&stage)).await;
        let (mut sender, _) = http2(connect(running.address, b"h2").await, 65_535).await;
        let answer = tokio::spawn(sender.send_request(get_request("/wait")));
        waiting.recv().await;
        running.stop.send(Instant::now() + grace).expect("it runs");
        if grace == LONG {
            stage.release.add_permits(1);
        }
        let stopped = running.stopped.await.expect("it returns");
        stage.over.notified().await;
        let answered = answer.await.expect("no panic").is_ok();
        assert_eq!((stopped.requests_cut == 0, answered), (grace == LONG, grace == LONG));
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (server, connect) = tls(quick());
    let running = Running::start(server, router(&stage().0)).await;
    let (mut sender, closed) = http2(connect(running.address, b"h2").await, 65_535).await;
    sender.send_request(get_request("/")).await.expect("an answer");
    closed.cancelled().await;
    assert_eq!(rejected(&metrics), [""; 0]);
}

#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_cut() {
    let (stage, mut waiting) = stage();
    let (server, connect) = tls(quick());
    let running = Running::start(server, router(&stage)).await;
    let (mut sender, closed) = http2(connect(running.address, b"h2").await, 1_000).await;
    let answer = sender.send_request(get_request("/flood")).await.expect("a head");
    waiting.recv().await;
    stage.over.notified().await;
    closed.cancelled().await;
    drop(answer);
}
