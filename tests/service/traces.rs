//! One run, one trace: the same id in log, status and span.

use opentelemetry_proto::tonic::trace::v1::Status as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::support::daemon::free_port;
use crate::support::otlp::{Collector, Received};
use crate::support::service::Service;

fn config(endpoint: &str, protocol: &str, address: &str) -> String {
    format!(
        r#"
        [service]
        name = "orders"
        [server]
        drain_delay = "10ms"
        [telemetry]
        traces_endpoint = "{endpoint}"
        traces_protocol = "{protocol}"
        keep_healthy_traces = 0.0
        trace_url = "http://traces.example/t/{{trace_id}}"
        [checks.api]
        kind = "http"
        url = "http://{address}/health?key=1"
        interval = "60s"
        "#
    )
}

fn root_of<'a>(spans: &'a [Received], trace_id: &str) -> &'a Received {
    let is_root = |r: &&Received| r.trace_id() == trace_id && r.span.parent_span_id.is_empty();
    spans.iter().find(is_root).expect("the root span")
}

#[tokio::test]
async fn a_failed_run_has_one_trace_id_in_log_status_and_span() {
    let collector = Collector::start().await;
    let endpoints = [
        (format!("http://{}", collector.grpc), "grpc"),
        (format!("http://{}", collector.http), "http/protobuf"),
    ];
    for (endpoint, protocol) in endpoints {
        let before = collector.spans().len();
        let address = format!("127.0.0.1:{}", free_port());
        let service = Service::start(&config(&endpoint, protocol, &address)).await;
        service.ready_is(503, r#"{"status":"down","api":"down"}"#).await;
        let run = service.status().await["checks"]["api"]["last_run"].clone();
        let trace_id = run["trace_id"].as_str().expect("a trace id").to_owned();

        let line = service.logged("status changed").await;
        assert_eq!(line["trace_id"], trace_id.as_str());
        let url = format!("http://traces.example/t/{trace_id}");
        assert_eq!((&line["trace_url"], &run["trace_url"]), (&url.clone().into(), &url.into()));
        assert_eq!(line["check"], "api");
        assert_eq!(line["reason"], "connection_refused");

        let spans = collector.wait_for_spans(before + 2).await;
        let root = root_of(&spans, &trace_id);
        assert_eq!(root.span.name, "health.check http");
        assert_eq!(root.span.kind(), SpanKind::Internal);
        assert_eq!(root.attribute("health.check.name").as_deref(), Some("api"));
        assert_eq!(root.attribute("health.check.kind").as_deref(), Some("http"));
        assert_eq!(root.attribute("health.check.outcome").as_deref(), Some("failure"));
        assert_eq!(root.attribute("health.check.status").as_deref(), Some("down"));
        assert_eq!(root.attribute("error.type").as_deref(), Some("connection_refused"));
        assert!(root.attribute("health.check.gates").is_some());
        let names = root.span.attributes.iter().map(|a| a.key.as_str());
        let known = |name: &str| name.starts_with("health.check.") || name == "error.type";
        assert_eq!(names.filter(|name| !known(name)).collect::<Vec<_>>(), [""; 0], "none of ours");
        assert_eq!(root.span.status.as_ref().map(SpanStatus::code), Some(StatusCode::Error));
        assert_eq!(root.resource("service.name").as_deref(), Some("orders"));
        let changed = root.span.events.iter().find(|e| e.name == "health.status_changed");
        assert_eq!(changed.expect("its event").attributes.len(), 2);

        let child = spans.iter().find(|r| r.span.parent_span_id == root.span.span_id);
        let child = child.expect("the client span");
        assert_eq!(child.span.kind(), SpanKind::Client);
        assert_eq!(child.span.name, "GET");
        assert_eq!(child.attribute("error.type").as_deref(), Some("connection_refused"));
        let asked = format!("http://{address}/health");
        assert_eq!(child.attribute("url.full").as_deref(), Some(asked.as_str()));
        assert_eq!(child.attribute("server.address").as_deref(), Some("127.0.0.1"));
        service.stop().await;
    }
}
