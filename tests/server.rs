//! The listening server against clients that are slow, many, wrong or gone.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use vitalsign::http::{Server, Stopped, tls_config};

use crate::support::http::Client;

/// Short enough to wait for, long enough for a busy machine to complete a request in.
const HEADER_TIMEOUT: Duration = Duration::from_millis(300);

/// Never reached; a test that needs it hangs instead of closing too early.
const LONG: Duration = Duration::from_secs(600);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<Instant>,
    stopped: JoinHandle<Stopped>,
}

impl Running {
    async fn start(server: Server, router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopping) = oneshot::channel();
        let shutdown = async { stopping.await.expect("the test stops it or ends") };
        let stopped = tokio::spawn(server.serve(listener, router, shutdown));
        Self { address, stop, stopped }
    }

    /// Stops with time until the end of days, so that a test that misses an end hangs.
    async fn stop(self) -> Stopped {
        self.stop.send(Instant::now() + LONG).expect("it runs");
        self.stopped.await.expect("it returns")
    }
}

/// What handlers of the test router tell, and wait for.
#[derive(Clone)]
struct Stage {
    /// Hears of each request that waits.
    waiting: mpsc::UnboundedSender<()>,
    /// Lets waiting requests finish.
    release: Arc<Semaphore>,
    /// Hears of each answer that is over or given up.
    over: Arc<Notify>,
}

/// Says on the stage that something is over, however it ended.
struct Over(Arc<Notify>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn stage() -> (Stage, mpsc::UnboundedReceiver<()>) {
    let (waiting, heard) = mpsc::unbounded_channel();
    let stage = Stage { waiting, release: Arc::new(Semaphore::new(0)), over: Arc::default() };
    (stage, heard)
}

fn router(stage: &Stage) -> Router {
    let (waits, streams, floods) = (stage.clone(), stage.clone(), stage.clone());
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/wait",
            get(move || async move {
                let _over = Over(Arc::clone(&waits.over));
                waits.waiting.send(()).expect("the test listens");
                waits.release.acquire().await.expect("it is never closed").forget();
                "waited"
            }),
        )
        .route(
            "/events",
            get(move || async move {
                let release = Arc::clone(&streams.release);
                Body::from_stream(stream::unfold(release, |release| async {
                    release.acquire().await.expect("it is never closed").forget();
                    Some((Ok::<_, Infallible>(Bytes::from_static(b"event")), release))
                }))
            }),
        )
        .route(
            "/flood",
            get(move || async move {
                let over = Over(Arc::clone(&floods.over));
                let _ = floods.waiting.send(());
                Body::from_stream(stream::unfold(over, |over| async {
                    tokio::task::yield_now().await;
                    Some((Ok::<_, Infallible>(Bytes::from(vec![b'x'; 100_000])), over))
                }))
            }),
        )
}

fn quick() -> Server {
    Server::new().header_timeout(HEADER_TIMEOUT)
}

fn patient() -> Server {
    Server::new().header_timeout(LONG)
}

/// A recorder whose guard, `metrics::set_default_local_recorder`, holds for the test's one thread.
fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

fn rejected(metrics: &PrometheusHandle) -> Vec<String> {
    let text = metrics.render();
    let series = text.lines().filter_map(|l| l.strip_prefix("health_http_rejected_total{reason="));
    let mut counted: Vec<_> = series
        .filter(|line| !line.ends_with(" 0"))
        .map(|line| line.replace(['"', '}'], ""))
        .collect();
    counted.sort();
    counted
}

#[tokio::test]
async fn a_silent_client_is_closed_after_the_header_timeout() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;
    assert_eq!(rejected(&metrics), [""; 0]);
    assert_eq!(Client::connect(running.address).await.closed().await, 0);
    assert_eq!(rejected(&metrics), ["header_timeout 1"]);
}

#[tokio::test]
async fn a_client_that_trickles_its_head_is_closed_all_the_same() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;
    let stream = TcpStream::connect(running.address).await.expect("the server listens");
    let (reader, writer) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let mut client = Client::over(tokio::io::join(tokio::io::empty(), writer));
        client.send("GET / HTTP/1.1\r\n").await;
        loop {
            client.send("x: y\r\n").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    Client::over(tokio::io::join(reader, tokio::io::sink())).closed().await;
    trickle.abort();
    assert_eq!(rejected(&metrics), ["header_timeout 1"]);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_none_comes() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;
    let mut client = Client::connect(running.address).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, "hello");
    }
    assert_eq!(client.closed().await, 0);
    assert_eq!(rejected(&metrics), [""; 0], "an idle close is no refusal");
}

#[tokio::test]
async fn at_the_cap_the_longest_idle_connection_makes_room() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(patient().max_connections(2), router(&stage().0)).await;
    let mut first = Client::connect(running.address).await;
    first.get("/").await;
    let mut second = Client::connect(running.address).await;
    second.get("/").await;
    first.get("/").await;

    let mut third = Client::connect(running.address).await;
    assert_eq!(third.get("/").await.status, 200);
    assert_eq!(second.closed().await, 0);
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(rejected(&metrics), ["evicted_idle 1"]);
}

#[tokio::test]
async fn silent_connections_hold_no_slot_against_a_newcomer() {
    let running = Running::start(patient().max_connections(2), router(&stage().0)).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Client::connect(running.address).await);
    }
    assert_eq!(Client::connect(running.address).await.get("/").await.status, 200);
    for client in &mut silent[..18] {
        client.closed().await;
    }
}

#[tokio::test]
async fn with_every_connection_busy_a_newcomer_is_refused_and_nobody_cut() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (stage, mut waiting) = stage();
    let running = Running::start(patient().max_connections(2), router(&stage)).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(running.address).await;
        client.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
        waiting.recv().await;
        clients.push(client);
    }
    assert_eq!(Client::connect(running.address).await.closed().await, 0);
    assert_eq!(rejected(&metrics), ["connection_limit 1"]);
    stage.release.add_permits(2);
    for client in &mut clients {
        assert_eq!(client.answer().await.expect("it was not cut").body, "waited");
    }
}

#[tokio::test]
async fn a_stop_closes_the_listener_and_idle_connections_and_lets_requests_finish() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    let mut idle = Client::connect(running.address).await;
    idle.get("/").await;
    let mut silent = Client::connect(running.address).await;
    let mut partial = Client::connect(running.address).await;
    partial.send("GET / HT").await;
    let mut busy = Client::connect(running.address).await;
    busy.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;

    running.stop.send(Instant::now() + LONG).expect("it runs");
    assert_eq!(idle.closed().await, 0);
    assert_eq!(silent.closed().await, 0);
    assert_eq!(partial.closed().await, 0);
    let refused = TcpStream::connect(running.address).await;
    assert!(refused.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused));
    assert!(!running.stopped.is_finished());

    stage.release.add_permits(1);
    let answer = busy.answer().await.expect("it was in flight");
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("waited", Some("close")));
    assert_eq!(running.stopped.await.expect("it returns").requests_cut, 0);
}

#[tokio::test]
async fn at_the_deadline_what_is_left_is_cut_and_counted() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    let mut busy = Client::connect(running.address).await;
    busy.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    let mut events = Client::connect(running.address).await;
    events.send("GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await;
    events.head().await;

    running.stop.send(Instant::now() + Duration::from_millis(50)).expect("it runs");
    assert_eq!(running.stopped.await.expect("it returns").requests_cut, 2);
    assert!(busy.answer().await.is_none() && events.chunk().await.is_none());
    stage.over.notified().await;
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    let mut busy = Client::connect(running.address).await;
    busy.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    running.stopped.abort();
    assert!(busy.answer().await.is_none());
    stage.over.notified().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let (stage, mut waiting) = stage();
    let running = Running::start(quick(), router(&stage)).await;
    let mut client = Client::connect(running.address).await;
    client.send("GET /flood HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    stage.over.notified().await;
    client.closed().await;
}

#[tokio::test]
async fn an_event_stream_without_events_outlives_every_timeout() {
    let (stage, _waiting) = stage();
    let running = Running::start(quick(), router(&stage)).await;
    let mut events = Client::connect(running.address).await;
    events.send("GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(events.head().await.expect("it begins").status, 200);
    // Silent connections one after the other are a clock that runs at the server's own pace.
    for _ in 0..5 {
        Client::connect(running.address).await.closed().await;
    }
    stage.release.add_permits(1);
    assert_eq!(events.chunk().await, Some(Some("event".into())));
}

#[tokio::test]
async fn large_answers_arrive_whole() {
    let text = "0123456789".repeat(100_000);
    let body = text.clone();
    let app = Router::new().route("/", get(|| async move { body }));
    let running = Running::start(patient(), app).await;
    let answer = Client::connect(running.address).await.get("/").await;
    assert_eq!(answer.header("content-length"), Some("1000000"));
    assert!(answer.body == text);
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_counted() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(patient(), router(&stage().0)).await;

    let mut malformed = Client::connect(running.address).await;
    malformed.send("no request at all\r\n\r\n").await;
    assert_eq!(malformed.answer().await.expect("an answer").status, 400);
    malformed.closed().await;
    assert_eq!(rejected(&metrics), ["malformed 1"]);

    let mut huge = Client::connect(running.address).await;
    huge.send("GET / HTTP/1.1\r\nhost: test\r\n").await;
    huge.send(format!("x: {}\r\n\r\n", "y".repeat(200_000))).await;
    assert_eq!(huge.answer().await.expect("an answer").status, 431);
    drop(huge);
    assert_eq!(running.stop().await.requests_cut, 0);
    assert_eq!(rejected(&metrics), ["head_too_large 1", "malformed 1"]);
}

#[tokio::test]
async fn request_bodies_are_bounded_in_size_and_time() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;

    let mut small = Client::connect(running.address).await;
    small.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(small.answer().await.expect("an answer").body, "hello");

    let mut announced = Client::connect(running.address).await;
    announced.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 70000\r\n\r\n").await;
    let answer = announced.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("cache-control")), (413, Some("no-store")));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(rejected(&metrics), ["body_too_large 1"]);

    let mut chunked = Client::connect(running.address).await;
    chunked.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    chunked.send(format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000))).await;
    assert_eq!(chunked.answer().await.expect("an answer").status, 413);

    let mut late = Client::connect(running.address).await;
    late.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhe").await;
    assert_eq!(late.answer().await.expect("an answer").status, 400);
    late.closed().await;
}

#[tokio::test]
async fn handlers_see_the_address_of_the_client() {
    let listener = TcpListener::bind("[::]:0").await.expect("a dual-stack port");
    let port = listener.local_addr().expect("its address").port();
    let app = router(&stage().0);
    tokio::spawn(patient().serve(listener, app, pending()));
    for address in ["127.0.0.1", "::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let peer = Client::connect((address, port).into()).await.get("/peer").await.body;
        assert_eq!(peer, address.to_string(), "not as an IPv4-mapped IPv6 address");
    }
}

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

type Connecting = std::pin::Pin<Box<dyn Future<Output = TlsStream<TcpStream>> + Send>>;
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
