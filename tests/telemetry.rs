//! Traces reach a collector whole or not at all, and a bad collector harms nobody.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::trace::TraceContextExt;
use tokio::time::timeout;
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::fmt::MakeWriter;
use vitalsign::telemetry::{Guard, LogFormat, Output, Protocol, Service, Settings, Telemetry};
use vitalsign::traces::{KEEP, SCHEMA_URL, TARGET};

use crate::support::otlp::{Answer, Collector, Received};

mod collector_trouble;
mod environment;
mod lines;
mod rotel;
mod spans;
mod targets;

const LONG: Duration = Duration::from_secs(30);
const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

/// Lines that were logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn all(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Waits until a line holds `text`.
    async fn wait_for(&self, text: &str) {
        let found = async {
            while !self.text().contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(LONG, found).await.is_ok(), "{text:?} not in {}", self.text());
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Settings and variables of a test.
struct Setup {
    settings: Settings,
    env: HashMap<String, String>,
}

impl Setup {
    /// Sends every span at once, and keeps no trace of an ordinary success.
    fn new() -> Self {
        let mut settings = Settings::new(Service {
            name: "orders".to_owned(),
            version: "1.4.2".to_owned(),
            instance: "orders-1".to_owned(),
            environment: Some("production".to_owned()),
        });
        settings.keep_healthy_traces = 0.0;
        Self { settings, env: HashMap::new() }.env("OTEL_BSP_SCHEDULE_DELAY", "10")
    }

    fn to(self, collector: &Collector, protocol: Protocol) -> Self {
        let address = match protocol {
            Protocol::Grpc => collector.grpc,
            Protocol::HttpProtobuf => collector.http,
        };
        self.at(&format!("http://{address}"), protocol)
    }

    fn at(mut self, url: &str, protocol: Protocol) -> Self {
        self.settings.traces_endpoint = Some(url.parse().unwrap());
        self.settings.traces_protocol = Some(protocol);
        self
    }

    fn share(mut self, share: f64) -> Self {
        self.settings.keep_healthy_traces = share;
        self
    }

    fn format(mut self, format: LogFormat) -> Self {
        self.settings.log_format = format;
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn read(&self) -> Result<Telemetry, String> {
        Telemetry::read(&self.settings, |name| self.env.get(name).cloned())
            .map_err(|error| error.to_string())
    }

    fn build(&self) -> Running {
        let lines = Lines::default();
        let (dispatch, guard) = self.read().unwrap().build(Output::to(lines.clone())).unwrap();
        Running { dispatch, guard, lines }
    }
}

struct Running {
    dispatch: Dispatch,
    guard: Guard,
    lines: Lines,
}

impl Running {
    /// One run with a call in it; returns the trace id and the `traceparent` that went out.
    fn run(&self, keep: bool) -> (String, Option<String>) {
        with_default(&self.dispatch, || {
            let root = tracing::info_span!(target: TARGET, parent: None, "health.check",
                otel.name = "health.check tcp", otel.kind = "internal");
            let mut carrier = HashMap::new();
            root.in_scope(|| {
                let call = tracing::info_span!(target: TARGET, "health.check.client",
                    otel.name = "connect", otel.kind = "client");
                if let Some(propagator) = self.guard.propagator() {
                    propagator.inject_context(&call.context(), &mut carrier);
                }
                // What must not become part of the trace: a span of anything else, and lines.
                tracing::info_span!("another").in_scope(|| tracing::info!("a line within the run"));
                tracing::info!(target: TARGET, "an event of the spans' own target");
            });
            if keep {
                root.set_attribute(KEEP, true);
            }
            let id = root.context().span().span_context().trace_id().to_string();
            (id, carrier.remove("traceparent"))
        })
    }

    async fn shutdown(self) -> u64 {
        timeout(LONG, self.guard.shutdown(LONG)).await.expect("the shutdown ends")
    }
}
