//! From the first answer to the last: start, drain, stop.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::support::http::Client;
use crate::support::service::{Service, command, run};

const OWN_DATABASE: &str = r#"
    [checks.database]
    kind = "sqlite"
    path = "own.db"
    create = true
"#;

fn with_delay(delay: &str) -> String {
    format!("[server]\ndrain_delay = \"{delay}\"\n{OWN_DATABASE}")
}

#[tokio::test]
async fn a_first_signal_drains_while_everything_is_served_then_it_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let service = Service::start(&with_delay("700ms")).await;
        service.ready_is(200, r#"{"status":"up","database":"up"}"#).await;
        let line = service.logged("status changed").await;
        assert_eq!((&line["level"], &line["to"]), (&"INFO".into(), &"up".into()));
        service.signal(signal);
        service.ready_is(503, r#"{"status":"draining","database":"up"}"#).await;
        let verbose = Client::connect(service.address).await.get("/ready?verbose").await;
        assert_eq!(verbose.header("connection"), Some("close"));
        assert!(verbose.body.contains("\ndraining: "), "{}", verbose.body);
        assert_eq!(service.get("/health").await.status, 200);
        assert_eq!(service.get("/startup").await.status, 200);
        assert_eq!(service.get("/ready/database").await.status, 200);
        let page = service.get("/metrics").await.body;
        assert!(page.contains("health_draining 1"), "{page}");
        assert!(page.contains("health_ready 0"), "{page}");
        let (status, log) = service.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        for step in ["draining", "the listener closes", "stopped"] {
            assert_eq!(log.matches(step).count(), 1, "{step}: {log}");
        }
    }
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let service = Service::start(&with_delay("20s")).await;
        service.signal(signal);
        service.get_until("/ready", |answer| answer.body.contains("draining")).await;
        service.signal(signal);
        let (status, log) = service.ended().await;
        assert_eq!(status.code(), Some(code), "{:?}: {log}", status.signal());
    }
}

#[tokio::test]
async fn an_idle_client_does_not_hold_up_the_stop() {
    let service = Service::start(&with_delay("1ms")).await;
    let mut idle = Client::connect(service.address).await;
    assert_eq!(idle.get("/health").await.status, 200);
    let (status, log) = service.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    idle.closed().await;
}

#[tokio::test]
async fn a_port_in_use_is_71() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let ended = run(command(dir.path(), &["serve", "--listen", &address]));
    assert_eq!(ended.code, Some(71), "{}", ended.err);
    assert!(ended.err.contains(&address), "{}", ended.err);
}

#[tokio::test]
async fn readiness_is_starting_until_every_gating_check_has_run() {
    // Nobody answers on this listener, so the first run takes its whole timeout.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("its address").port();
    let config = format!(
        r#"
        [checks.silent]
        kind = "tcp"
        address = "127.0.0.1:{port}"
        expect.regex = "ready"
        interval = "60s"
        timeout = "3s"
        "#
    );
    let service = Service::start(&config).await;
    let first = service.get("/ready").await;
    assert_eq!(first.body, r#"{"status":"starting","silent":"unknown"}"#);
    assert_eq!(first.status, 503);
    assert_eq!(service.get("/startup").await.status, 503);
    assert_eq!(service.get("/health").await.status, 200);
    service.ready_is(503, r#"{"status":"down","silent":"down"}"#).await;
    let started = service.get("/startup").await;
    assert_eq!((started.status, started.body.as_str()), (200, r#"{"status":"up"}"#));
    let run = &service.status().await["checks"]["silent"]["last_run"];
    assert_eq!((&run["outcome"], &run["reason"]), (&"timeout".into(), &"timeout".into()));
}
