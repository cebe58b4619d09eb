//! What is logged, and in which form.

use super::*;

fn log(running: &Running) {
    with_default(&running.dispatch, || {
        tracing::info!(check = "orders-db", reason = "timeout", "status changed");
        tracing::debug!("a detail");
    });
}

#[test]
fn elsewhere_than_on_a_terminal_a_line_is_a_flat_json_object() {
    let running = Setup::new().build();
    log(&running);
    let lines = running.lines.all();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "status changed");
    assert_eq!((&line["check"], &line["reason"]), (&"orders-db".into(), &"timeout".into()));
    let time: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(time <= jiff::Timestamp::now());
}

#[test]
fn a_terminal_shows_text_and_colour_only_where_it_is_wanted() {
    for (format, env, text, colour) in [
        (LogFormat::Auto, "", true, true),
        (LogFormat::Auto, "1", true, false),
        (LogFormat::Text, "", true, true),
        (LogFormat::Json, "", false, false),
    ] {
        let lines = Lines::default();
        let output = Output::to(lines.clone()).as_terminal();
        let setup = Setup::new().format(format).env("NO_COLOR", env);
        let (dispatch, _guard) = setup.read().unwrap().build(output).unwrap();
        with_default(&dispatch, || tracing::info!("hello"));
        let line = lines.text();
        assert_eq!(!line.starts_with('{'), text, "{line}");
        assert_eq!(line.contains('\u{1b}'), colour, "{line}");
    }
    let running = Setup::new().format(LogFormat::Text).build();
    log(&running);
    let line = running.lines.text();
    assert!(line.contains("INFO") && line.contains("check=\"orders-db\""), "{line}");
    assert!(!line.contains('\u{1b}'));
}

#[test]
fn rust_log_wins_over_the_level() {
    let mut setup = Setup::new();
    setup.settings.log_level = "error".to_owned();
    let running = setup.build();
    log(&running);
    assert_eq!(running.lines.text(), "");
    let running = setup.env("RUST_LOG", "debug").build();
    log(&running);
    assert_eq!(running.lines.all().len(), 2);
}

#[test]
fn at_debug_the_libraries_stay_quiet_unless_rust_log_asks_for_them() {
    let mut setup = Setup::new();
    setup.settings.log_level = "debug".to_owned();
    let speak = |running: &Running| {
        with_default(&running.dispatch, || {
            tracing::debug!(target: "h2::codec", "frame");
            tracing::warn!(target: "h2::codec", "trouble");
            tracing::debug!(target: "vitalsign::http", "request");
        });
        running.lines.all().len()
    };
    assert_eq!(speak(&setup.build()), 2);
    assert_eq!(speak(&setup.env("RUST_LOG", "debug").build()), 3);
}

#[test]
fn a_library_that_tells_what_it_carries_is_never_heard_below_a_warning() {
    let running = Setup::new().env("RUST_LOG", "trace,tungstenite=trace").build();
    with_default(&running.dispatch, || {
        tracing::trace!(target: "tungstenite::protocol", "a frame with what was sent");
        tracing::debug!(target: "tokio_tungstenite", "a frame");
        tracing::debug!(target: "tungstenites", "another");
        tracing::warn!(target: "tungstenite", "trouble");
    });
    let lines = running.lines.all();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(!running.lines.text().contains("frame"));
}

#[test]
fn a_level_that_is_none_is_refused() {
    let mut setup = Setup::new();
    setup.settings.log_level = "verbose".to_owned();
    assert_eq!(
        setup.read().unwrap_err(),
        "log_level: \"verbose\" is no level; use off, error, warn, info, debug or trace"
    );
    let error = setup.env("RUST_LOG", "vitalsign=loud").read().unwrap_err();
    assert!(error.starts_with("RUST_LOG: "), "{error}");
    assert!(error.ends_with("; use a level such as info, or info,vitalsign=debug"), "{error}");
}

#[test]
fn the_spans_of_runs_are_no_lines_at_any_level() {
    let setup = Setup::new().format(LogFormat::Text);
    let running = setup.env("RUST_LOG", "trace,vitalsign::trace=trace").build();
    running.run(true);
    let lines = running.lines.all();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(!lines[0].contains("health.check"), "{lines:#?}");
}

/// Runs in a process of its own, for [`no_header_shows_at_any_level`].
#[tokio::test]
async fn child() {
    if std::env::var_os("VITALSIGN_TEST_CHILD").is_none() {
        return;
    }
    let settings = Setup::new().settings;
    let telemetry = Telemetry::read(&settings, |name| std::env::var(name).ok()).unwrap();
    let guard = telemetry.install().unwrap();
    let root = tracing::info_span!(target: TARGET, parent: None, "root");
    root.set_attribute(KEEP, true);
    drop(root);
    assert_eq!(guard.shutdown(LONG).await, 0);
}

#[tokio::test]
async fn no_header_shows_at_any_level() {
    for (protocol, name) in [(Protocol::Grpc, "grpc"), (Protocol::HttpProtobuf, "http/protobuf")] {
        let collector = Collector::start().await;
        let address = if protocol == Protocol::Grpc { collector.grpc } else { collector.http };
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "telemetry::lines::child", "--nocapture"])
            .env("VITALSIGN_TEST_CHILD", "1")
            .env("RUST_LOG", "trace")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", name)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2,x-key=hunter2")
            .output();
        let output = timeout(LONG, child).await.unwrap().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        assert_eq!(collector.spans().len(), 1);
        assert_eq!(collector.requests()[0].headers["x-key"], "hunter2");
        assert!(log.lines().any(|line| line.contains("\"TRACE\"")), "it speaks at all: {log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}
