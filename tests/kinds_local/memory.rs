//! The `memory` kind, on this host.

use vitalsign::{Outcome, Reason};

use crate::support::checks::{check, errors, figure, run};

#[tokio::test]
async fn the_memory_of_this_host_is_told_and_judged() {
    let ok = run(check("memory", "min_available = '0%'")).await;
    assert_eq!((ok.outcome, &ok.message), (Outcome::Success, &None));
    assert!(figure(&ok, "memory_available_bytes").is_some_and(|bytes| bytes > 0.0));
    assert!(
        figure(&ok, "memory_available_ratio").is_some_and(|ratio| (0.0..=1.0).contains(&ratio))
    );
    let warned = run(check("memory", "min_available = '0%'\nwarn_available = '100%'")).await;
    assert_eq!(warned.outcome, Outcome::Warning, "{:?}", warned.message);
    let short = run(check("memory", "min_available = '1000000TiB'")).await;
    assert_eq!(short.reason, Some(Reason::OutOfRange), "{:?}", short.message);
    let message = short.message.expect("a cause");
    assert!(
        message.ends_with(" is available, less than min_available = 1000000.0 TiB"),
        "{message}"
    );
}

#[test]
fn a_warning_below_the_failure_is_an_error() {
    let told = errors("memory", "min_available = '1GiB'\nwarn_available = '1GiB'");
    assert_eq!(
        told,
        ["warn_available: it fails first; write more than `min_available`, which is 1.0 GiB"]
    );
}
