//! What belongs to the process is the host's.

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use axum::http::StatusCode;
use tokio::runtime::Handle;
use tokio::time::sleep;
use vitalsign::metrics::Exposition;
use vitalsign::{BuildError, Health, Reason};

use super::get;
use crate::exposition::{all_ran, failing, fine, seldom};

/// Which of the children below is asked for.
const CHILD: &str = "VITALSIGN_TEST_HOST";

/// Runs `child` in a process of its own, where nothing has been installed yet.
fn alone(child: &str) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "library::global::child", "--nocapture"])
        .env(CHILD, child)
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("{child} is done")), "{said}\n{output:?}");
    assert!(output.status.success(), "{said}");
}

#[tokio::test]
async fn child() {
    let Ok(child) = std::env::var(CHILD) else { return };
    match child.as_str() {
        "bare host" => bare_host().await,
        "threaded host" => tokio::task::spawn_blocking(threaded_host).await.expect("it ends"),
        _ => equipped_host().await,
    }
    println!("{child} is done");
}

#[test]
fn nothing_of_the_process_is_touched() {
    alone("bare host");
}

#[test]
fn a_hosts_own_recorder_and_subscriber_are_used() {
    alone("equipped host");
}

#[test]
fn the_only_thread_of_its_own_ends_with_it() {
    alone("threaded host");
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// Hosts of several threads and of one, and one whose checks run elsewhere.
fn threaded_host() {
    let several =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (several, one) = (several.expect("a runtime"), one.expect("a runtime"));
    let small = || Health::builder("small").check("a", fine(seldom()));
    let before = threads();
    let in_one = one.block_on(async { small().build() }).expect("checks");
    let checks_on = several.handle().clone();
    let apart = one.block_on(async { small().check_runtime(checks_on).build() }).expect("checks");
    assert_eq!(threads(), before, "none is of use");
    let in_several = several.block_on(async { small().build() }).expect("checks");
    assert_eq!(threads(), before + 1);
    drop((in_one, apart, in_several));
    while threads() > before {
        std::thread::yield_now();
    }
}

/// The signals that this process catches and ignores.
fn signals() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let of_process = |line: &&str| line.starts_with("SigCgt") || line.starts_with("SigIgn");
    status.lines().filter(of_process).map(str::to_owned).collect()
}

/// Neither a recorder nor a subscriber, before and after.
async fn bare_host() {
    let before = signals();
    for exposition in [Exposition::Route, Exposition::Facade] {
        let small = Health::builder("small").metrics(exposition).check("a", fine(seldom()));
        let health = small.check("b", failing(seldom().gates([]), Reason::Other)).build();
        let health = health.expect("checks");
        all_ran(&health).await;
        assert_eq!(get(health.router(), "/ready").await.0, StatusCode::OK);
    }
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(signals(), before);
    assert!(!tracing::dispatcher::has_been_set());
    assert!(::metrics::set_global_recorder(Plain::default()).is_ok(), "there was none");
}

/// A recorder and a subscriber that nobody else has.
async fn equipped_host() {
    let recorder = Plain::default();
    let values = Arc::clone(&recorder.values);
    assert!(::metrics::set_global_recorder(recorder).is_ok());
    let spans = Arc::<Mutex<Vec<&'static str>>>::default();
    let subscriber = Watching { targets: Arc::clone(&spans), ids: AtomicU64::new(1) };
    tracing::subscriber::set_global_default(subscriber).expect("the first");
    let small = || Health::builder("small").metrics(Exposition::Facade).check("a", fine(seldom()));
    let health = small().build().expect("checks");
    all_ran(&health).await;
    let value = |name: &str| values.lock().expect("it").get(name).copied();
    assert_eq!(value("health_check_up check=a kind=function"), Some(1.0));
    let runs = "health_check_runs_total check=a kind=function outcome=success";
    assert_eq!(value(runs), Some(1.0));
    assert!(value("health_check_duration_seconds check=a kind=function").is_some());
    assert_eq!(value("health_ready"), Some(1.0));
    assert!(spans.lock().expect("it").contains(&vitalsign::traces::TARGET));
    let error = small().build().expect_err("the process has one recorder");
    assert!(matches!(error, BuildError::SameSeries { .. }), "{error:?}");
    assert!(small().metric_label("app", "b").build().is_ok());
}

/// A recorder that keeps the last value, or the sum, of each series.
#[derive(Default)]
struct Plain {
    values: Arc<Mutex<HashMap<String, f64>>>,
}

struct Series(String, Arc<Mutex<HashMap<String, f64>>>);

impl Series {
    fn change(&self, f: impl FnOnce(&mut f64)) {
        f(self.1.lock().expect("it").entry(self.0.clone()).or_default());
    }
}

impl CounterFn for Series {
    fn increment(&self, by: u64) {
        self.change(|value| *value += by as f64);
    }

    fn absolute(&self, to: u64) {
        self.change(|value| *value = to as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, by: f64) {
        self.change(|value| *value += by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| *value -= by);
    }

    fn set(&self, to: f64) {
        self.change(|value| *value = to);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.change(|sum| *sum += value);
    }
}

impl Plain {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let series = key.name().to_owned() + &labels.collect::<String>();
        Arc::new(Series(series, Arc::clone(&self.values)))
    }
}

impl Recorder for Plain {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

/// A subscriber that notes the targets of spans.
struct Watching {
    targets: Arc<Mutex<Vec<&'static str>>>,
    ids: AtomicU64,
}

impl tracing::Subscriber for Watching {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.targets.lock().expect("it").push(span.metadata().target());
        tracing::span::Id::from_u64(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn building_outside_of_a_runtime_is_an_error() {
    let error = Health::builder("small").check("a", fine(seldom())).build();
    assert!(matches!(error, Err(BuildError::NoRuntime)), "{error:?}");
}

/// Two services of one process, and what each leaves behind.
async fn two_services() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let fails = failing(seldom(), Reason::Other);
    let one = Health::builder("one").check("a", fine(seldom())).build().expect("checks");
    let two = Health::builder("two").check("a", fails).check("b", fine(seldom())).build();
    let two = two.expect("checks");
    all_ran(&one).await;
    all_ran(&two).await;
    let (status, body) = get(one.router(), "/ready").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "{\"status\":\"up\",\"a\":\"up\"}"));
    let (status, body) = get(two.router(), "/ready").await;
    let down = "{\"status\":\"down\",\"a\":\"down\",\"b\":\"up\"}";
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, down));
    for (health, count) in [(&one, 1), (&two, 2)] {
        let (_, page) = get(health.router(), "/metrics").await;
        assert!(page.contains(&format!("\nhealth_checks_configured {count}\n")), "{page}");
    }
    assert!(tasks() > before);
    drop(one);
    drop(two);
    while tasks() > before {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn two_services_live_and_end_on_a_runtime_of_one_thread() {
    two_services().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_live_and_end_on_a_runtime_of_several_threads() {
    two_services().await;
}

#[tokio::test(start_paused = true)]
async fn a_hosts_only_runtime_is_live_whenever_it_can_answer() {
    let health = Health::builder("small")
        .liveness_timeout(Duration::from_secs(2))
        .check("a", fine(seldom()))
        .build()
        .expect("checks");
    all_ran(&health).await;
    for _ in 0..5 {
        // As after a thread that was blocked: the time is gone, and nobody has run meanwhile.
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(get(health.router(), "/health").await.0, StatusCode::OK);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(get(health.router(), "/health").await.0, StatusCode::OK);
    }
}
