//! Closures that panic, block or leak, within a host that goes on.

use std::future::{pending, ready};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use vitalsign::check::Options;
use vitalsign::{CheckSubscription, Declared, Failure, Health, Reason, Status, every};

use crate::support::daemon::{PATIENCE, wait_for};
use crate::support::http::Client;

/// Longer than the timeout of a check.
const LONG: Duration = Duration::from_millis(60);

fn often() -> Options {
    every(Duration::from_millis(50)).timeout(Duration::from_millis(20)).failure_threshold(1)
}

/// A check that goes well, and how often it has.
fn well() -> (Declared, Arc<AtomicU64>) {
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    let check = often().from_fn(move || {
        count.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Failure>(()))
    });
    (check, runs)
}

/// Panics without the hook, which would write to the tests' output.
fn quietly_panic<T>(text: &'static str) -> T {
    resume_unwind(Box::new(text))
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        quietly_panic::<()>("in a drop");
    }
}

fn panics_in_the_call() -> Declared {
    often().from_fn(|| -> std::future::Ready<Result<(), Failure>> { quietly_panic("in the call") })
}

fn panics_in_the_future() -> Declared {
    often().from_fn(|| async {
        tokio::task::yield_now().await;
        quietly_panic::<Result<(), Failure>>("in the future")
    })
}

fn panics_when_dropped_at_its_end() -> Declared {
    often().from_fn(|| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            Ok::<_, Failure>(())
        }
    })
}

fn panics_when_cancelled() -> Declared {
    often().from_fn(|| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            pending::<Result<(), Failure>>().await
        }
    })
}

fn panics_with_what_panics_when_dropped() -> Declared {
    often().from_fn(|| -> std::future::Ready<Result<(), Failure>> { resume_unwind(Box::new(Bomb)) })
}

/// What checks hold, and tasks that they have left behind.
#[derive(Default)]
struct Held {
    by_runs: Arc<()>,
    by_tasks: Arc<()>,
}

impl Held {
    /// A check that never ends by itself and holds something meanwhile.
    fn never_ends(&self) -> Declared {
        let held = Arc::downgrade(&self.by_runs);
        often().from_fn(move || {
            let holds = held.upgrade();
            async move {
                let never = pending::<Result<(), Failure>>().await;
                drop(holds);
                never
            }
        })
    }

    /// A check that ends and leaves a task behind each time.
    fn spawns(&self) -> Declared {
        let held = Arc::downgrade(&self.by_tasks);
        often().from_fn(move || {
            let holds = held.upgrade();
            tokio::spawn(async move {
                pending::<()>().await;
                drop(holds);
            });
            ready(Ok::<_, Failure>(()))
        })
    }
}

/// An application with routes of its own beside those of health, on a runtime of its own.
struct Host {
    address: SocketAddr,
    health: Option<Health>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    /// Of the runtime.
    handle: Handle,
    end: Sender<()>,
}

impl Host {
    fn start(runtime: Runtime, builder: vitalsign::Builder) -> Self {
        let (started, starting) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = mpsc::channel();
        let handle = runtime.handle().clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let health = builder.build().expect("checks");
                let app: Router =
                    Router::new().route("/orders", get(|| ready("none"))).merge(health.router());
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                started.send((address, health)).expect("somebody waits");
                // A task, as most hosts have: the first thread is no worker of a runtime of several.
                let serving = tokio::spawn(async move { axum::serve(listener, app).await });
                let _ = stopped.await;
                serving.abort();
                let _ = serving.await;
                // What was served goes with the connections, of which none is left by now; what
                // the checks leave behind goes on as long as the runtime does.
                while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            runtime.shutdown_background();
        });
        let (address, health) = starting.recv().expect("it starts");
        Self { address, health: Some(health), stop, thread, handle, end }
    }

    fn health(&self) -> &Health {
        self.health.as_ref().expect("it has not ended")
    }

    async fn answers(&self) {
        for path in ["/orders", "/health"] {
            let ask = async { Client::connect(self.address).await.get(path).await };
            let answer = tokio::time::timeout(PATIENCE, ask).await.expect("an answer");
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
    }

    fn last(&self, check: &str) -> Option<(Status, Option<Reason>)> {
        let check = self.health().state().check(check).expect("a check");
        Some((check.status, check.last_run?.reason))
    }

    async fn expect(&self, check: &str, status: Status, reason: Reason) {
        let what = format!("{check}: {status} for {reason}, not {:?}", self.last(check));
        wait_for(&what, async || self.last(check) == Some((status, Some(reason)))).await;
    }
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn threads(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}

/// `runs` goes on counting.
async fn goes_on(runs: &AtomicU64) {
    let enough = runs.load(Ordering::Relaxed) + 5;
    wait_for("more runs", async || runs.load(Ordering::Relaxed) >= enough).await;
}

async fn panics_and_leaks(runtime: Runtime) {
    let (well, runs) = well();
    let held = Held::default();
    let panicking = [
        ("call", panics_in_the_call()),
        ("future", panics_in_the_future()),
        ("end", panics_when_dropped_at_its_end()),
        ("cancelled", panics_when_cancelled()),
        ("payload", panics_with_what_panics_when_dropped()),
    ];
    let names = panicking.each_ref().map(|(name, _)| *name);
    let builder = Health::builder("small").check("well", well);
    let builder = builder.check("pending", held.never_ends()).check("spawning", held.spawns());
    let add = |builder: vitalsign::Builder, (name, check)| builder.check(name, check);
    let mut host = Host::start(runtime, panicking.into_iter().fold(builder, add));
    for name in names {
        host.expect(name, Status::Down, Reason::Panic).await;
    }
    host.expect("pending", Status::Down, Reason::Timeout).await;
    for _ in 0..5 {
        host.answers().await;
        goes_on(&runs).await;
    }
    // They go on being asked, each time with the same end.
    for name in names {
        let asked = |host: &Host| host.health().state().check(name)?.last_run.map(|run| run.at);
        let before = asked(&host);
        wait_for("another run", async || asked(&host) > before).await;
        host.expect(name, Status::Down, Reason::Panic).await;
    }
    assert_eq!(host.last("well"), Some((Status::Up, None)));
    assert_eq!(host.last("spawning"), Some((Status::Up, None)), "it ended well itself");
    assert!(Arc::weak_count(&held.by_runs) == 1, "the check's own");
    assert!(Arc::strong_count(&held.by_runs) <= 2, "each run frees what it held");

    host.health = None;
    let Host { stop, thread, handle, end, .. } = host;
    stop.send(()).expect("it runs");
    let gone =
        async || Arc::weak_count(&held.by_runs) == 0 && Arc::strong_count(&held.by_runs) == 1;
    wait_for("the checks to end", gone).await;
    assert!(Arc::strong_count(&held.by_tasks) > 5, "what they spawned is not ours to end");
    assert!(handle.metrics().num_alive_tasks() > 5);
    end.send(()).expect("it runs");
    thread.join().expect("the host never panicked");
}

#[tokio::test]
async fn panics_and_leaks_harm_no_host_of_one_thread() {
    panics_and_leaks(one_thread()).await;
}

#[tokio::test]
async fn panics_and_leaks_harm_no_host_of_several_threads() {
    panics_and_leaks(threads(2)).await;
}

/// A check that holds its thread once it is told to, until it is released.
#[derive(Clone)]
struct Blocker {
    blocking: Arc<AtomicUsize>,
    wanted: Arc<AtomicUsize>,
    gate: Arc<Mutex<Receiver<()>>>,
    held: Arc<()>,
}

impl Blocker {
    fn new() -> (Self, Sender<()>) {
        let (release, gate) = mpsc::channel();
        let (blocking, wanted, held) = (Arc::default(), Arc::default(), Arc::default());
        (Self { blocking, wanted, gate: Arc::new(Mutex::new(gate)), held }, release)
    }

    fn check(&self) -> Declared {
        let of = self.clone();
        often().gates([]).from_fn(move || {
            let of = of.clone();
            async move {
                if of.wanted.load(Ordering::SeqCst) > 0 {
                    of.blocking.fetch_add(1, Ordering::SeqCst);
                    let _ = of.gate.lock().expect("nobody panics with it").recv();
                    of.blocking.fetch_sub(1, Ordering::SeqCst);
                }
                Ok::<_, Failure>(())
            }
        })
    }

    async fn block(&self) {
        self.wanted.store(1, Ordering::SeqCst);
        wait_for("a blocked run", async || self.blocking.load(Ordering::SeqCst) > 0).await;
    }
}

#[tokio::test]
async fn a_check_that_blocks_costs_a_host_of_several_threads_one_of_them() {
    let (blocker, release) = Blocker::new();
    let (well, runs) = well();
    let builder = Health::builder("small").check("well", well).check("blocks", blocker.check());
    let mut host = Host::start(threads(2), builder);
    wait_for("a run", async || host.last("blocks") == Some((Status::Up, None))).await;
    blocker.block().await;
    for _ in 0..10 {
        host.answers().await;
        goes_on(&runs).await;
    }
    let stale = async || host.last("blocks") == Some((Status::Unknown, None));
    wait_for("its status to be forgotten", stale).await;
    assert!(host.health().ready());
    blocker.wanted.store(0, Ordering::SeqCst);
    release.send(()).expect("it waits");
    wait_for("its next run", async || host.last("blocks") == Some((Status::Up, None))).await;

    blocker.block().await;
    host.health = None;
    host.stop.send(()).expect("it runs");
    // The other check ends with the last of health, and the one that blocks when it is released.
    wait_for("the others to end", async || Arc::strong_count(&runs) == 1).await;
    assert!(Arc::strong_count(&blocker.held) > 1, "nobody can end it");
    release.send(()).expect("it waits");
    wait_for("it to end", async || Arc::strong_count(&blocker.held) == 1).await;
    host.end.send(()).expect("it runs");
    host.thread.join().expect("the host never panicked");
}

/// A check changes its status for a timeout.
async fn times_out(changes: &mut CheckSubscription) {
    let timeout = async || {
        let next = tokio::time::timeout(PATIENCE, changes.next()).await.expect("a change");
        let change = next.expect("it goes on").expect("none is missed");
        change.transition.reason == Some(Reason::Timeout)
    };
    wait_for("a timeout", timeout).await;
}

/// Nothing else wakes the runtime: the only worker that is awake is the one that is blocked.
#[tokio::test]
async fn a_check_that_blocks_leaves_somebody_to_look_at_connections() {
    for _ in 0..5 {
        let (blocker, release) = Blocker::new();
        let builder = Health::builder("small").check("blocks", blocker.check());
        let host = Host::start(threads(2), builder);
        host.answers().await;
        blocker.block().await;
        host.answers().await;
        blocker.wanted.store(0, Ordering::SeqCst);
        release.send(()).expect("it waits");
        host.stop.send(()).expect("it runs");
        host.end.send(()).expect("it runs");
        host.thread.join().expect("the host never panicked");
    }
}

#[tokio::test]
async fn a_check_that_blocks_on_a_runtime_of_its_own_leaves_a_host_of_one_thread_alone() {
    let (blocker, release) = Blocker::new();
    let checks_on = threads(1);
    let builder = Health::builder("small").check("blocks", blocker.check());
    let host = Host::start(one_thread(), builder.check_runtime(checks_on.handle().clone()));
    let mut changes = host.health().subscribe().checks();
    blocker.block().await;
    for _ in 0..5 {
        host.answers().await;
    }
    tokio::time::sleep(LONG).await;
    blocker.wanted.store(0, Ordering::SeqCst);
    release.send(()).expect("it waits");
    times_out(&mut changes).await;
    wait_for("its next run", async || host.last("blocks") == Some((Status::Up, None))).await;
    host.stop.send(()).expect("it runs");
    host.end.send(()).expect("it runs");
    host.thread.join().expect("the host never panicked");
    checks_on.shutdown_background();
}

#[tokio::test]
async fn a_check_that_blocks_the_only_thread_fails_for_timeout_once_it_lets_go() {
    let (blocker, release) = Blocker::new();
    let builder = Health::builder("small").check("blocks", blocker.check());
    let host = Host::start(one_thread(), builder);
    wait_for("a run", async || host.last("blocks") == Some((Status::Up, None))).await;
    let mut changes = host.health().subscribe().checks();
    blocker.block().await;
    tokio::time::sleep(LONG).await;
    blocker.wanted.store(0, Ordering::SeqCst);
    release.send(()).expect("it waits");
    times_out(&mut changes).await;
    host.answers().await;
    host.stop.send(()).expect("it runs");
    host.end.send(()).expect("it runs");
    host.thread.join().expect("the host never panicked");
}
