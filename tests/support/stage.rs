//! A running server over a router whose handlers wait, stream and flood when a test wants it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use futures_util::stream;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vitalsign::http::{App, Server, Stopped};

/// Short enough to wait for, long enough for a busy machine to complete a request in.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_millis(500);

/// Never reached; a test that needs it hangs instead of closing too early.
pub(crate) const LONG: Duration = Duration::from_mins(10);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<Instant>,
    pub(crate) stopped: JoinHandle<Stopped>,
}

impl Running {
    pub(crate) async fn start(server: Server, app: impl Into<App>) -> Self {
        let app = app.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopping) = oneshot::channel();
        let shutdown = async { stopping.await.expect("the test stops it or ends") };
        let stopped = tokio::spawn(server.serve(listener, app, shutdown));
        Self { address, stop, stopped }
    }

    /// Stops with time until the end of days, so that a test that misses an end hangs.
    pub(crate) async fn stop(self) -> Stopped {
        self.stop.send(Instant::now() + LONG).expect("it runs");
        self.stopped.await.expect("it returns")
    }
}

/// What handlers of the test router tell, and wait for.
#[derive(Clone)]
pub(crate) struct Stage {
    /// Hears of each request that waits.
    pub(crate) waiting: mpsc::UnboundedSender<()>,
    /// Lets waiting requests finish.
    pub(crate) release: Arc<Semaphore>,
    /// Hears of each answer that is over or given up.
    pub(crate) over: Arc<Notify>,
}

/// Says on the stage that something is over, however it ended.
struct Over(Arc<Notify>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

pub(crate) fn stage() -> (Stage, mpsc::UnboundedReceiver<()>) {
    let (waiting, heard) = mpsc::unbounded_channel();
    let stage = Stage { waiting, release: Arc::new(Semaphore::new(0)), over: Arc::default() };
    (stage, heard)
}

pub(crate) fn router(stage: &Stage) -> Router {
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

pub(crate) fn quick() -> Server {
    Server::new().header_timeout(HEADER_TIMEOUT).idle_timeout(HEADER_TIMEOUT)
}

pub(crate) fn patient() -> Server {
    Server::new().header_timeout(LONG).idle_timeout(LONG)
}

/// A recorder whose guard, `metrics::set_default_local_recorder`, holds for the test's one thread.
pub(crate) fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

pub(crate) fn rejected(metrics: &PrometheusHandle) -> Vec<String> {
    let text = metrics.render();
    let series = text.lines().filter_map(|l| l.strip_prefix("health_http_rejected_total{reason="));
    let mut counted: Vec<_> = series
        .filter(|line| !line.ends_with(" 0"))
        .map(|line| line.replace(['"', '}'], ""))
        .collect();
    counted.sort();
    counted
}
