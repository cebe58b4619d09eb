//! A secret in any option shows in no body, log, metric or span.

use crate::support::daemon::free_port;
use std::fmt::Write;

use crate::support::otlp::Collector;
use crate::support::service::Service;

const SECRET: &str = "hunter2-s3cr3t";

#[tokio::test]
async fn no_output_shows_a_secret() {
    let collector = Collector::start().await;
    let (closed, http) = (free_port(), collector.http);
    let config = format!(
        r#"
        [server]
        drain_delay = "10ms"
        token = "{SECRET}"
        [telemetry]
        log_level = "trace"
        traces_endpoint = "http://{}"
        keep_healthy_traces = 1.0
        [defaults]
        interval = "300ms"
        gates = []
        [checks.refused]
        kind = "http"
        url = "http://user:{SECRET}@127.0.0.1:{closed}/path?key={SECRET}"
        [checks.answered]
        kind = "http"
        url = "http://{http}/?key={SECRET}"
        headers = {{ "x-key" = "{SECRET}" }}
        bearer = "{SECRET}"
        body = "{SECRET}"
        method = "POST"
        [checks.basic]
        kind = "http"
        url = "http://{http}/"
        basic_auth = {{ username = "user", password = "{SECRET}" }}
        [checks.postgres]
        kind = "postgres"
        url = "postgres://user:{SECRET}@127.0.0.1:{closed}/db"
        [checks.garbage]
        kind = "mysql"
        url = "mysql://user:{SECRET}@{http}/db"
        [checks.tcp]
        kind = "tcp"
        address = "{http}"
        send = "{SECRET}\n"
        expect.regex = "never"
        "#,
        collector.grpc
    );
    let config = config.replace("gates = []\n        [checks", "[checks");
    let service = Service::start(&config).await;
    let ran = |body: &str| !body.contains(r#""last_run":null"#);
    service.get_until("/status", |answer| ran(&answer.body)).await;
    let mut seen = String::new();
    for path in ["/status", "/metrics", "/ready", "/ready?verbose", "/health?verbose"] {
        let answer = service.get_with(path, &[("accept", "application/health+json, */*")]).await;
        seen += &answer.body;
    }
    for check in ["refused", "answered", "basic", "postgres", "garbage", "tcp"] {
        assert!(seen.contains(&format!(r#""{check}":{{"#)), "{check} is in the status");
    }
    for span in collector.wait_for_spans(12).await {
        let _ = write!(seen, "{span:?}");
    }
    let (_, log) = service.stop().await;
    seen += &log;
    assert!(seen.contains("status changed"), "the log is there");
    assert!(!seen.contains(SECRET), "it shows: {seen}");
    let encoded = "dXNlcjpodW50ZXIyLXMzY3IzdA";
    assert!(!seen.contains(encoded), "it shows in base64: {seen}");
}
