//! Makes a check of its options and asks it once, as the engine would.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use vitalsign::checks::KINDS;
use vitalsign::config::OptionError;
use vitalsign::{
    Check, CheckInfo, Context, Declared, Detail, Event, Failure, Health, Reason, Run, Sink, every,
};

use super::daemon::Daemon;
use super::spans;

/// Long enough for any answer on loopback, however busy the machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

/// For a peer that never answers: what is waited for is this timeout itself.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Makes a check of `kind` from `options` in TOML.
pub(crate) fn make(kind: &str, options: &str) -> Result<Arc<dyn Check>, Vec<OptionError>> {
    let kind = KINDS.iter().find(|k| k.name == kind).expect("a built-in kind");
    let options = toml::from_str(options).expect("TOML");
    (kind.read)(options).map_err(|error| vec![error])?()
}

/// Makes a check whose options are right.
pub(crate) fn check(kind: &str, options: &str) -> Arc<dyn Check> {
    make(kind, options).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The errors of options that are wrong, as `path: message`.
pub(crate) fn errors(kind: &str, options: &str) -> Vec<String> {
    let errors = make(kind, options).err().expect("the options are wrong");
    errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect()
}

/// Asks `check` once, within `timeout`.
pub(crate) async fn ask(check: &dyn Check, timeout: Duration) -> Result<Detail, Failure> {
    spans::prepare();
    let deadline = Instant::now() + timeout;
    let cx = Context::new(deadline, None);
    let timed_out = || Failure::new(Reason::Timeout, "no answer in time");
    timeout_at(deadline, check.run(&cx)).await.unwrap_or_else(|_| Err(timed_out()))
}

/// How often a healthy server is asked before its log and its counters are read.
pub(crate) const OFTEN: usize = 1_000;

/// Runs of one check at a time: enough to keep a server busy, and fewer than any server refuses.
const AT_ONCE: usize = 4;

/// Asks `check` as often as [`OFTEN`], and sees that every run is good.
pub(crate) async fn ask_often(check: &Arc<dyn Check>) {
    ask_times(OFTEN, check).await;
}

/// Asks `check` so many times, of a server that takes its time for each.
pub(crate) async fn ask_times(times: usize, check: &Arc<dyn Check>) {
    let runs = (0..times).map(|_| ask(&**check, PATIENT));
    let mut runs = futures_util::stream::iter(runs).buffer_unordered(AT_ONCE);
    while let Some(verdict) = runs.next().await {
        assert_eq!(verdict, Ok(Detail::ok()));
    }
}

/// Asks a check of `kind` and `options` once and returns why that failed.
pub(crate) async fn failure(kind: &str, options: &str) -> Failure {
    ask(&*check(kind, options), PATIENT).await.expect_err("the run fails")
}

/// Freezes a real server, lets it go on and stops it, and sees that `check` tells each.
pub(crate) async fn freeze_and_stop(check: &dyn Check, server: Daemon) {
    server.signal_all(Signal::STOP);
    let frozen = ask(check, SHORT).await.expect_err("it is frozen");
    assert_eq!(frozen.reason(), Reason::Timeout);
    server.signal_all(Signal::CONT);
    assert_eq!(ask(check, PATIENT).await, Ok(Detail::ok()));
    server.stop(Signal::TERM).await;
    let refused = ask(check, PATIENT).await.expect_err("nothing listens");
    assert_eq!(refused.reason(), Reason::ConnectionRefused);
}

/// Lets the engine run `check` once and returns what it makes of it.
pub(crate) async fn run(check: Arc<dyn Check>) -> Run {
    let (told, mut runs) = mpsc::unbounded_channel();
    let options = every(2 * PATIENT).timeout(PATIENT);
    let built = Health::builder("tests")
        .sink(Arc::new(Told(told)))
        .check("it", Declared::new(check, options))
        .build();
    let _health = built.expect("a valid plan");
    runs.recv().await.expect("a run")
}

/// A figure of `run` by its name.
pub(crate) fn figure(run: &Run, name: &str) -> Option<f64> {
    run.measurements.iter().find(|(m, _)| m.name == name).map(|(_, value)| *value)
}

/// Passes runs on.
struct Told(mpsc::UnboundedSender<Run>);

impl Sink for Told {
    fn record(&self, _: &Arc<CheckInfo>, event: Event<'_>) {
        if let Event::Run { run, .. } = event {
            let _ = self.0.send(run.clone());
        }
    }
}
