//! The kinds that ask SQL databases, against real servers and against peers that misbehave.

mod blocked;
mod logins;
mod mysql;
mod peers;
mod poolers;
mod postgres;
mod quiet;
mod replicas;
mod spans;
mod sqlite;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vitalsign::checks::KINDS;
use vitalsign::config::OptionError;
use vitalsign::{Check, Context, Detail, Failure, Reason};

/// Long enough for an answer on a busy machine; no test waits for it.
const PLENTY: Duration = Duration::from_secs(30);
/// Where the answer does not come, and the test waits for the deadline.
const SHORT: Duration = Duration::from_millis(800);
/// Long enough for a busy machine to open a connection in the last quarter, which tells why a pool
/// gave none in the others.
const LONGER: Duration = Duration::from_secs(6);

/// The check that `options`, a TOML table, declare; or what is wrong with them.
fn read(kind: &str, options: &str) -> Result<Arc<dyn Check>, Vec<OptionError>> {
    let kind = KINDS.iter().find(|k| k.name == kind).expect("a built-in kind");
    let table: toml::Table = toml::from_str(options).expect("TOML");
    (kind.read)(toml::Value::Table(table)).map_err(|e| vec![e])?()
}

/// The check that `options` declare.
fn check(kind: &str, options: &str) -> Arc<dyn Check> {
    read(kind, options).expect("valid options")
}

/// One run, cancelled at its deadline as the engine does.
async fn ask(check: &dyn Check, timeout: Duration) -> Result<Detail, Failure> {
    let deadline = Instant::now() + timeout;
    let cx = Context::new(deadline, None);
    let late = |_| Err(Failure::new(Reason::Timeout, "no answer within the timeout"));
    timeout_at(deadline, check.run(&cx)).await.unwrap_or_else(late)
}

/// The failure of one run.
async fn failure(check: &dyn Check, timeout: Duration) -> Failure {
    ask(check, timeout).await.expect_err("a failure")
}

/// Asserts that a run fails for `reason` and says `text`, without any of `secrets`.
fn assert_failed(failure: &Failure, reason: Reason, text: &str, secret: &str) {
    assert_eq!(failure.reason(), reason, "{}", failure.message());
    assert!(failure.message().contains(text), "{}", failure.message());
    assert!(!format!("{failure:?}").contains(secret), "{}", failure.message());
}

/// What is wrong with `options`.
fn refused(kind: &str, options: &str) -> Vec<OptionError> {
    read(kind, options).err().unwrap_or_else(|| panic!("{options} should be refused"))
}
