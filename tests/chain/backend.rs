//! A tracing backend that is asked as Jaeger is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::daemon::{Daemon, server_dir, wait_for};
use crate::support::http::Client;
use crate::support::prometheus::left_out;

/// The program of `tests/backend`, running; it is killed when dropped.
pub(super) struct Backend {
    // Before the directory, so that the program is gone when that is removed.
    _daemon: Daemon,
    _dir: tempfile::TempDir,
    /// Where it takes spans, over gRPC.
    pub(super) spans: SocketAddr,
    query: SocketAddr,
}

impl Backend {
    /// Starts it; `None`, with a notice, where it is not built.
    pub(super) async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("VITALSIGN_BACKEND").map(PathBuf::from) else {
            left_out("no tracing backend; VITALSIGN_BACKEND names the program of `tests/backend`");
            return None;
        };
        let dir = server_dir();
        let log = dir.path().join("log");
        let mut daemon = Daemon::start(Command::new(program), &log);
        let mut addresses = Vec::new();
        wait_for("the tracing backend", async || {
            let said = std::fs::read_to_string(&log).expect("its log");
            assert!(daemon.runs(), "the tracing backend has ended: {said}");
            let lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            addresses = lines.map(|line| line.parse().expect("an address")).collect();
            addresses.len() == 2
        })
        .await;
        let (spans, query) = (addresses[0], addresses[1]);
        Some(Self { _daemon: daemon, _dir: dir, spans, query })
    }

    /// The spans that it has of a trace, once both the run's and the client's are there.
    pub(super) async fn trace(&self, id: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        wait_for("the trace in the backend", async || {
            let answer = Client::connect(self.query).await.get(&format!("/api/traces/{id}")).await;
            let found: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let found = found["data"][0]["spans"].as_array().cloned().unwrap_or_default();
            spans = found.into_iter().map(Span).collect();
            spans.len() == 2
        })
        .await;
        spans
    }
}

/// A span as Jaeger shows it.
#[derive(Debug)]
pub(super) struct Span(Value);

impl Span {
    pub(super) fn name(&self) -> &Value {
        &self.0["operationName"]
    }

    pub(super) fn trace_id(&self) -> &Value {
        &self.0["traceID"]
    }

    pub(super) fn id(&self) -> &Value {
        &self.0["spanID"]
    }

    /// The span that it is a child of; none of a root.
    pub(super) fn parent(&self) -> Option<&Value> {
        self.0["references"].as_array()?.first().map(|reference| &reference["spanID"])
    }

    pub(super) fn tag(&self, key: &str) -> Option<&Value> {
        let tags = self.0["tags"].as_array()?;
        tags.iter().find(|tag| tag["key"] == key).map(|tag| &tag["value"])
    }
}
