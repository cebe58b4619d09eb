//! Debian's Prometheus and promtool, and a strict OpenMetrics parser.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longest that a condition is waited for: far more than a busy machine takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Says what a test leaves out for want of an installed program; where everything is required,
/// that is a failure.
pub(crate) fn left_out(what: &str) {
    let required = std::env::var_os("VITALSIGN_REQUIRE_SERVERS").is_some_and(|v| v == "1");
    assert!(!required, "{what}, and VITALSIGN_REQUIRE_SERVERS=1");
    // Not eprintln!, which the test harness keeps to itself while tests pass.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {what}");
}

/// The program `name`, or `None` after having said that it is left out.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        left_out(&format!("`{name}` is not installed"));
    }
    found
}

/// Runs `program` with `input` on its standard input.
pub(crate) fn feed(program: &mut Command, input: &[u8]) -> Output {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it has an input");
    std::thread::scope(|scope| {
        // A program that gives up early closes its input; what it then says is what counts.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("the program ends")
    })
}

/// What `promtool check metrics` says of a page, or `None` without promtool.
pub(crate) fn promtool_check_metrics(page: &[u8]) -> Option<String> {
    let output = feed(Command::new(installed("promtool")?).args(["check", "metrics"]), page);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() || !said.is_empty(), "promtool failed without a word");
    Some(said)
}

/// The samples of a page as Python's strict OpenMetrics parser reads them, or `None` without it.
///
/// `VITALSIGN_PYTHON` names an interpreter that has `prometheus_client`; default `python3`.
///
/// # Panics
/// When the parser refuses the page.
pub(crate) fn openmetrics_samples(page: &[u8]) -> Option<Vec<Value>> {
    const PARSE: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.buffer.read().decode()):
    for s in family.samples:
        exemplar = s.exemplar and s.exemplar.labels
        print(json.dumps({"family": family.name, "type": family.type, "unit": family.unit,
            "name": s.name, "labels": s.labels, "value": str(s.value), "exemplar": exemplar}))
"#;
    let python = std::env::var_os("VITALSIGN_PYTHON").unwrap_or_else(|| "python3".into());
    let has_parser =
        Command::new(&python).args(["-c", "import prometheus_client.openmetrics.parser"]).output();
    if !has_parser.is_ok_and(|output| output.status.success()) {
        left_out("Python has no `prometheus_client`; VITALSIGN_PYTHON names one that has");
        return None;
    }
    let output = feed(Command::new(&python).args(["-c", PARSE]), page);
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the strict parser refused the page: {refused}");
    let lines = String::from_utf8(output.stdout).expect("Python writes UTF-8");
    Some(lines.lines().map(|line| serde_json::from_str(line).expect("a sample")).collect())
}

/// A Prometheus of its own on a free loopback port; it is killed and forgotten when dropped.
pub(crate) struct Prometheus {
    address: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    child: Child,
    dir: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Waited for, so that nothing writes to the directory while that is removed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts one with `config` as its `prometheus.yml`; `None` when it is not installed.
    pub(crate) async fn start(config: &str) -> Option<Self> {
        Self::start_with(config, &[]).await
    }

    /// The same with `files` beside its `prometheus.yml`, by their names.
    pub(crate) async fn start_with(config: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = installed("prometheus")?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files.iter().chain(&[("prometheus.yml", config)]) {
            std::fs::write(dir.path().join(name), text).expect("the configuration");
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let address = free_address();
        let child = spawn(&program, &dir, &address);
        let mut prometheus = Self { address, client, child, dir };
        // Another process may take the port between our letting go of it and its binding.
        for _ in 0..5 {
            if prometheus.is_ready().await {
                return Some(prometheus);
            }
            prometheus.address = free_address();
            prometheus.child = spawn(&program, &prometheus.dir, &prometheus.address);
        }
        panic!("Prometheus does not start: {}", prometheus.log())
    }

    /// Waits until it answers, or has ended.
    async fn is_ready(&mut self) -> bool {
        let ready = async {
            while self.get("/-/ready").await.is_none() {
                if self.child.try_wait().expect("our own child").is_some() {
                    return false;
                }
                sleep(Duration::from_millis(50)).await;
            }
            true
        };
        timeout(PATIENCE, ready).await.unwrap_or_else(|_| panic!("it is never ready"))
    }

    /// What an instant query yields now: each series with its labels and value.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.api("query", &[("query", expression)]).await;
        data["result"].as_array().cloned().unwrap_or_default()
    }

    /// Asks until a query yields something that `enough` accepts, and returns that.
    ///
    /// # Panics
    /// When nothing does for a minute.
    pub(crate) async fn query_until(
        &self,
        expression: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        self.until(expression, async || self.query(expression).await, enough).await
    }

    /// Asks for the exemplars of the series of `selector` until there are some.
    ///
    /// # Panics
    /// When there are none for a minute.
    pub(crate) async fn exemplars(&self, selector: &str) -> Vec<Value> {
        let now = jiff::Timestamp::now().as_second();
        let (start, end) = ((now - 3600).to_string(), (now + 3600).to_string());
        let parameters = [("query", selector), ("start", &start), ("end", &end)];
        let ask = async || {
            let data = self.api("query_exemplars", &parameters).await;
            data.as_array().cloned().unwrap_or_default()
        };
        self.until(selector, ask, |found| !found.is_empty()).await
    }

    async fn until(
        &self,
        what: &str,
        ask: impl AsyncFn() -> Vec<Value>,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let asking = async {
            loop {
                let found = ask().await;
                if enough(&found) {
                    return found;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let Ok(found) = timeout(PATIENCE, asking).await else {
            let targets = self.api("targets", &[]).await;
            panic!("not seen in Prometheus: {what}; targets: {targets}; log: {}", self.log())
        };
        found
    }

    /// The `data` of an answer of its API.
    async fn api(&self, method: &str, parameters: &[(&str, &str)]) -> Value {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let body = self.get(&format!("/api/v1/{method}?{query}")).await;
        let body = body.unwrap_or_else(|| panic!("{method} failed: {}", self.log()));
        let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
        answer["data"].take()
    }

    /// The body of a 200 answer.
    async fn get(&self, path: &str) -> Option<Bytes> {
        let uri = format!("http://{}{path}", self.address).parse().expect("a URL");
        let answer = self.client.get(uri).await.ok()?;
        let fine = answer.status().is_success();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        fine.then_some(body)
    }

    /// What it has logged.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

fn spawn(program: &Path, dir: &TempDir, address: &str) -> Child {
    let log = File::create(dir.path().join("log")).expect("a log");
    Command::new(program)
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--enable-feature=exemplar-storage")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("Prometheus starts")
}
