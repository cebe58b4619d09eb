//! The `icmp` kind, on loopback and in network namespaces of its own.

use std::io::Write as _;
use std::process::Command;

use serde_json::Value;
use vitalsign::{Outcome, Reason};

use crate::support::checks::{PATIENT, ask, check, errors, figure, run};
use crate::support::spans::{Spans, attribute, events};

/// Asks the host once, unless this process may not: then nothing is to be seen but that.
async fn may_ask(host: &str) -> bool {
    let run = run(check("icmp", &format!("host = '{host}'"))).await;
    if run.reason == Some(Reason::LocalResource) {
        // Not eprintln!, which the test harness keeps to itself while tests pass.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: echo requests; they take a right");
        return false;
    }
    true
}

/// What `vitalsign check` makes of these options in a network namespace that `script` sets up;
/// none, with a notice, where this process may not have one. `before` is put before the command.
fn in_namespace(script: &str, before: &str, options: &str) -> Option<Value> {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("vitalsign.toml");
    let text = format!("[history]\nurl = 'off'\n[checks.it]\nkind = 'icmp'\n{options}\n");
    std::fs::write(&config, text).expect("the configuration");
    let program = env!("CARGO_BIN_EXE_vitalsign");
    let ready = "echo ready >&2";
    let asking =
        format!("exec {before} {program} check --format json --config {}", config.display());
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-ec", &format!("ip link set lo up; {script}\n{ready}; {asking}")]);
    let output = command.current_dir(dir.path()).output().ok();
    let output = output.filter(|o| String::from_utf8_lossy(&o.stderr).contains("ready"));
    let Some(output) = output else {
        let _ = writeln!(std::io::stderr(), "LEFT OUT: a network namespace; it takes root");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    Some(document["checks"]["it"]["last_run"].clone())
}

const WITHOUT_RIGHT: &str = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw";

#[tokio::test]
async fn a_host_that_answers_is_a_success() {
    for host in ["127.0.0.1", "::1", "localhost"] {
        if !may_ask(host).await {
            return;
        }
        let run = run(check("icmp", &format!("host = '{host}'\ncount = 3"))).await;
        assert_eq!((run.outcome, &run.message), (Outcome::Success, &None), "{host}");
        assert_eq!(figure(&run, "icmp_loss_ratio"), Some(0.0));
        let took = figure(&run, "icmp_round_trip_seconds").expect("a time");
        assert!(took > 0.0 && took <= run.duration.as_secs_f64(), "{took}");
    }
}

#[tokio::test]
async fn the_span_names_whom_it_asks() {
    if !may_ask("127.0.0.1").await {
        return;
    }
    let (spans, _guard) = Spans::record();
    let made = check("icmp", "host = 'localhost'");
    ask(&*made, PATIENT).await.expect("it answers");
    let span = spans.only();
    assert_eq!(span.name, "icmp echo");
    assert_eq!(attribute(&span, "server.address").as_deref(), Some("localhost"));
    assert_eq!(attribute(&span, "network.peer.address").as_deref(), Some("127.0.0.1"));
    assert_eq!(events(&span), ["resolve", "request"]);
    let server = made.server().expect("an address");
    assert_eq!((server.address.as_str(), server.port), ("localhost", None));
}

#[tokio::test]
async fn runs_side_by_side_take_no_answers_of_each_other() {
    if !may_ask("127.0.0.1").await {
        return;
    }
    let made = check("icmp", "host = '127.0.0.1'\ncount = 20");
    let runs = (0..10).map(|_| run(std::sync::Arc::clone(&made)));
    for run in futures_util::future::join_all(runs).await {
        assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
        assert_eq!(figure(&run, "icmp_loss_ratio"), Some(0.0));
    }
}

#[test]
fn a_host_that_does_not_answer_is_a_timeout() {
    let ignore = "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all";
    for count in [1, 3] {
        let options = format!("host = '127.0.0.1'\ncount = {count}\ntimeout = '400ms'");
        let Some(run) = in_namespace(ignore, "", &options) else { return };
        assert_eq!((&run["outcome"], &run["reason"]), (&"timeout".into(), &"timeout".into()));
    }
}

#[test]
fn a_host_that_answers_some_requests_is_a_warning() {
    // It is deaf until it has been asked once.
    let script = "deaf=/proc/sys/net/ipv4/icmp_echo_ignore_all; echo 1 > $deaf; \
                  (until grep -q InType8 /proc/net/snmp; do :; done; echo 0 > $deaf) &";
    let options = "host = '127.0.0.1'\ncount = 3\ntimeout = '6s'";
    let Some(run) = in_namespace(script, "", options) else { return };
    assert_eq!(run["outcome"], "warning", "{run}");
    let message = run["message"].as_str().expect("a caveat");
    let told = ["1", "2"].map(|n| format!("127.0.0.1 left {n} of 3 requests unanswered"));
    assert!(told.iter().any(|told| told == message), "{message}");
}

#[test]
fn a_host_without_a_route_is_unreachable() {
    for route in
        ["", "ip route add unreachable 192.0.2.0/24", "ip route add blackhole 192.0.2.0/24"]
    {
        let Some(run) = in_namespace(route, "", "host = '192.0.2.1'") else { return };
        assert_eq!(run["reason"], "unreachable", "{route}: {run}");
        let message = run["message"].as_str().expect("a cause");
        assert!(message.starts_with("sending an echo request to 192.0.2.1 failed: "), "{message}");
    }
}

#[test]
fn without_the_right_to_ask_the_run_is_unknown() {
    let Some(run) = in_namespace("", WITHOUT_RIGHT, "host = '127.0.0.1'") else { return };
    assert_eq!((&run["outcome"], &run["reason"]), (&"unknown".into(), &"local_resource".into()));
    let message = run["message"].as_str().expect("a cause");
    assert!(message.contains("net.ipv4.ping_group_range"), "{message}");
    assert!(message.contains("CAP_NET_RAW"), "{message}");
}

#[test]
fn the_range_of_groups_gives_the_right_without_a_privilege() {
    let range = "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range";
    for host in ["127.0.0.1", "::1"] {
        let options = format!("host = '{host}'\ncount = 2");
        let Some(run) = in_namespace(range, WITHOUT_RIGHT, &options) else { return };
        assert_eq!(run["outcome"], "success", "{host}: {run}");
    }
}

#[test]
fn options_that_cannot_be_are_errors() {
    for (options, told) in [
        ("host = ''", "host: this is no host; "),
        ("host = '10.0.0.1:80'", "host: this is no host; "),
        ("host = 'a'\ncount = 101", "count: so many are a flood; write at most 100"),
        ("host = 'a'\ncount = 0", "count: invalid value"),
    ] {
        let errors = errors("icmp", options);
        assert!(errors.len() == 1 && errors[0].starts_with(told), "{options}: {errors:?}");
    }
}
