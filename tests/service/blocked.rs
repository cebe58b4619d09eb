//! Checks that block their threads, beside a server that goes on answering.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::Instant;
use vitalsign::http::Server;
use vitalsign::{Declared, Failure, Health, every};

use crate::support::daemon::wait_for;
use crate::support::http::{Answer, Client};

/// A check that holds its thread, once told to, until it is released.
struct Blocker {
    blocks: Arc<Mutex<bool>>,
    entered: Arc<Notify>,
    release: Sender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
}

impl Blocker {
    fn new() -> Self {
        let (release, gate) = mpsc::channel();
        let (blocks, entered) = (Arc::default(), Arc::default());
        Self { blocks, entered, release, gate: Arc::new(Mutex::new(gate)) }
    }

    fn check(&self) -> Declared {
        let (blocks, entered) = (Arc::clone(&self.blocks), Arc::clone(&self.entered));
        let gate = Arc::clone(&self.gate);
        every(Duration::from_millis(100)).gates([]).from_fn(move || {
            let (blocks, entered, gate) = (blocks.clone(), entered.clone(), gate.clone());
            async move {
                if *blocks.lock().unwrap() {
                    entered.notify_one();
                    let _ = gate.lock().unwrap().recv();
                }
                Ok::<_, Failure>(())
            }
        })
    }

    /// Makes it block, and waits until it does.
    async fn block(&self) {
        *self.blocks.lock().unwrap() = true;
        self.entered.notified().await;
    }

    fn release(&self) {
        *self.blocks.lock().unwrap() = false;
        self.release.send(()).unwrap();
    }
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

async fn ask(server: SocketAddr, path: &str) -> Answer {
    Client::connect(server).await.get(path).await
}

/// Ended runs of the check `fast`.
async fn runs(server: SocketAddr) -> u64 {
    let page = ask(server, "/metrics").await.body;
    let series = "health_check_duration_seconds_count{check=\"fast\"";
    let line = page.lines().find(|l| l.starts_with(series)).expect("its series");
    line.rsplit(' ').next().and_then(|v| v.parse().ok()).expect("a number")
}

async fn serve(checks: &Runtime, blockers: &[Blocker; 2]) -> SocketAddr {
    let fast = every(Duration::from_millis(100)).from_fn(|| async { Ok::<_, Failure>(()) });
    let health = Health::builder("orders")
        .check_runtime(checks.handle().clone())
        .liveness_timeout(Duration::from_secs(2))
        .check("fast", fast)
        .check("first", blockers[0].check())
        .check("second", blockers[1].check())
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending::<Instant>();
    tokio::spawn(Server::new().serve(listener, health.into_app(), never));
    address
}

#[test]
fn a_check_that_blocks_its_thread_delays_no_answer_and_all_of_them_end_liveness() {
    let (checks, serving) = (runtime(2), runtime(1));
    let blockers = [Blocker::new(), Blocker::new()];
    serving.block_on(async {
        let server = serve(&checks, &blockers).await;
        wait_for("the first runs", async || runs(server).await > 0).await;

        blockers[0].block().await;
        let before = runs(server).await;
        // Longer than the liveness timeout takes: by then a heart that stood still would show.
        let enough = before + 50;
        let mut answers = 0;
        while runs(server).await < enough || answers < 200 {
            let health = ask(server, "/health").await;
            assert_eq!(health.status, 200, "after {answers}: {}", health.body);
            answers += 1;
        }
        assert_eq!(ask(server, "/ready").await.body, r#"{"status":"up","fast":"up"}"#);

        blockers[1].block().await;
        wait_for("liveness to end", async || ask(server, "/health").await.status == 503).await;
        assert_eq!(ask(server, "/health").await.body, r#"{"status":"down"}"#);
        let stale = r#"{"status":"down","fast":"unknown"}"#;
        wait_for("staleness", async || ask(server, "/ready").await.body == stale).await;
        assert_eq!(ask(server, "/startup").await.status, 200, "once started, always started");

        blockers.iter().for_each(Blocker::release);
        wait_for("liveness again", async || ask(server, "/health").await.status == 200).await;
        let up = r#"{"status":"up","fast":"up"}"#;
        wait_for("readiness again", async || ask(server, "/ready").await.body == up).await;
    });
    checks.shutdown_background();
}
