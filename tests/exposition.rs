//! The metrics page, as scrapers read it.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io::Read;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tower::ServiceExt;
use tracing_subscriber::layer::SubscriberExt;
use vitalsign::check::Options;
use vitalsign::metrics::{self, Format, METRICS, Metric, MetricType, Origin, encode};
use vitalsign::{
    Builder, Check, Context, Declared, Detail, Failure, Gate, Health, Measurement, Phase, Reason,
    Server, every,
};

use crate::support::prometheus::{Prometheus, openmetrics_samples, promtool_check_metrics};

const LAG: Measurement =
    Measurement { name: "replication_lag_seconds", help: "How far the \"replica\" is behind." };
const FREE: Measurement = Measurement { name: "free_ratio", help: "Share that is free." };
/// One whose name the checks' own series have.
const CLASH: Measurement = Measurement { name: "up", help: "Never seen." };

/// A check with an address, phases and figures, of a kind that needs escapes.
struct Database;

#[async_trait]
impl Check for Database {
    fn kind(&self) -> &'static str {
        "data\"base\\"
    }

    fn server(&self) -> Option<Server> {
        Some(Server { address: "db.example".to_owned(), port: Some(5432) })
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        cx.phase(Phase::Connect, sleep(Duration::from_millis(2))).await;
        cx.phase(Phase::Request, sleep(Duration::from_millis(1))).await;
        cx.measure(&LAG, 0.25);
        cx.measure(&FREE, f64::NAN);
        cx.measure(&CLASH, 7.0);
        Ok(Detail::ok())
    }
}

pub(crate) fn seldom() -> Options {
    every(Duration::from_mins(2)).timeout(Duration::from_mins(1))
}

pub(crate) fn failing(options: Options, reason: Reason) -> Declared {
    options.from_fn(move || async move { Err::<(), _>(Failure::new(reason, "it is so")) })
}

pub(crate) fn fine(options: Options) -> Declared {
    options.from_fn(|| async { Ok::<(), Failure>(()) })
}

/// A service with checks of every status, and one that has never finished a run.
pub(crate) fn rich() -> Builder {
    let labelled = seldom().label("team", "a \"b\" \\c\nd").label("tier", "é").objective(99.95);
    let gates = [Gate::Startup, Gate::Ready];
    Health::builder("orders")
        .check("database", labelled.gates(gates).check(Database))
        .check("cache", seldom().from_fn(async || Ok::<_, Failure>(Detail::warning("it is slow"))))
        .check("vpn", failing(seldom().groups(["far"]), Reason::ConnectionRefused))
        .check("behind-vpn", fine(seldom().gates([]).depends_on("vpn").groups(["far"])))
        .check("starved", failing(seldom(), Reason::LocalResource))
        .check("silent", seldom().from_fn(pending::<Result<(), Failure>>))
}

/// Waits until every check but `silent` has run.
pub(crate) async fn all_ran(health: &Health) {
    let ran = |c: &vitalsign::state::CheckView| c.last_run.is_some() || &*c.info.name == "silent";
    while !health.state().snapshot().checks.iter().all(ran) {
        sleep(Duration::from_millis(5)).await;
    }
}

/// A host's exporter, with what the process and its runtimes tell.
fn host() -> PrometheusHandle {
    let (recorder, handle) = metrics::exporter();
    let of_runtime = Handle::current().metrics();
    ::metrics::with_local_recorder(&recorder, || {
        metrics::describe();
        metrics::collect_process_and_runtime(&[
            ("checks", of_runtime.clone()),
            ("http", of_runtime),
        ]);
        let route = [("http_route", "/orders"), ("http_request_method", "GET")];
        ::metrics::histogram!("http_server_request_duration_seconds", &route).record(0.07);
        ::metrics::gauge!("http_server_active_requests").set(1.0);
    });
    handle
}

async fn get(app: Router, headers: &[(header::HeaderName, &str)]) -> (Response<()>, Bytes) {
    let mut request = Request::get("/metrics");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let (head, body) = app.oneshot(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (Response::from_parts(head, ()), body)
}

fn text(page: &[u8]) -> &str {
    std::str::from_utf8(page).expect("UTF-8")
}

/// The samples of a page in the text format whose names start with `name`.
fn samples<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    page.lines().filter(|line| line.starts_with(name)).collect()
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_a_rich_page() {
    let health = rich().exporter(host()).build().expect("checks");
    all_ran(&health).await;
    let (_, page) = get(health.router(), &[]).await;
    let Some(said) = promtool_check_metrics(&page) else { return };
    assert_eq!(said, "", "of {}", text(&page));
    let odd = promtool_check_metrics(b"# TYPE odd counter\nodd 1\n").expect("installed");
    assert!(odd.contains("no help text"), "promtool does look: {odd}");
}

#[tokio::test]
async fn a_strict_parser_accepts_the_openmetrics_page() {
    let health = rich().exporter(host()).build().expect("checks");
    all_ran(&health).await;
    let (_, page) = get(health.router(), &[(header::ACCEPT, OPENMETRICS)]).await;
    let Some(samples) = openmetrics_samples(&page) else { return };
    let find = |name: &str| {
        samples.iter().find(|s| s["name"] == name).unwrap_or_else(|| {
            panic!("{name} is not in {}", text(&page));
        })
    };
    let runs = find("health_check_runs_total");
    assert_eq!((&runs["family"], &runs["type"]), (&"health_check_runs".into(), &"counter".into()));
    assert_eq!(find("health_check_duration_seconds_bucket")["unit"], "seconds");
    assert_eq!(find("process_cpu_seconds_total")["type"], "counter");
    assert_eq!(find("tokio_runtime_busy_seconds_total")["type"], "counter");
    let is_database = |s: &&serde_json::Value| {
        s["name"] == "health_check_info" && s["labels"]["check"] == "database"
    };
    let info = samples.iter().find(is_database).expect("the database");
    assert_eq!(
        info["labels"],
        serde_json::json!({
            "check": "database", "kind": "data\"base\\", "gates": "ready,startup",
            "server_address": "db.example", "server_port": "5432",
            "team": "a \"b\" \\c\nd", "tier": "é",
        })
    );
}

/// What Prometheus 2.42 sends.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

#[tokio::test]
async fn each_status_has_the_series_that_the_table_promises() {
    let health = rich().build().expect("checks");
    all_ran(&health).await;
    let page = encode(health.state(), Format::Text);
    let page = text(&page);
    let up = samples(page, "health_check_up{");
    assert_eq!(
        up,
        [
            "health_check_up{check=\"behind-vpn\",kind=\"function\"} 1",
            "health_check_up{check=\"cache\",kind=\"function\"} 1",
            "health_check_up{check=\"database\",kind=\"data\\\"base\\\\\"} 1",
            "health_check_up{check=\"vpn\",kind=\"function\"} 0",
        ],
        "no series while unknown"
    );
    let of = |check: &str, name: &str| -> Vec<String> {
        let start = format!("{name}{{check=\"{check}\",");
        let kind = "kind=\"function\"";
        let ends = samples(page, &start).into_iter().map(|l| l[start.len()..].replace(kind, ""));
        ends.collect()
    };
    assert_eq!(of("starved", "health_check_last_result"), [""; 0], "no run of it counted");
    assert_eq!(of("starved", "health_check_last_run_timestamp_seconds").len(), 1);
    assert_eq!(of("silent", "health_check_last_run_timestamp_seconds"), [""; 0]);
    assert_eq!(of("silent", "health_check_duration_seconds_count"), ["} 0"]);
    assert_eq!(of("vpn", "health_check_last_success_timestamp_seconds"), [""; 0]);
    assert_eq!(of("vpn", "health_check_last_result"), ["} 0"]);
    assert_eq!(of("vpn", "health_check_consecutive_failures"), ["} 1"]);
    assert_eq!(of("vpn", "health_check_failures_total"), [",reason=\"connection_refused\"} 1"]);
    assert_eq!(of("cache", "health_check_failures_total"), [""; 0], "a reason once it was seen");
    assert_eq!(of("behind-vpn", "health_check_suppressed"), ["} 1"]);
    assert_eq!(of("cache", "health_check_suppressed"), ["} 0"]);
    assert_eq!(of("cache", "health_check_objective_ratio"), [""; 0]);
    assert_eq!(samples(page, "health_check_objective_ratio").len(), 1);
    assert_eq!(
        of("cache", "health_check_status"),
        [
            ",status=\"up\"} 0",
            ",status=\"degraded\"} 1",
            ",status=\"down\"} 0",
            ",status=\"unknown\"} 0"
        ]
    );
    assert_eq!(
        of("cache", "health_check_runs_total"),
        [
            ",outcome=\"success\"} 0",
            ",outcome=\"warning\"} 1",
            ",outcome=\"failure\"} 0",
            ",outcome=\"timeout\"} 0",
            ",outcome=\"unknown\"} 0"
        ]
    );
    assert_eq!(
        of("starved", "health_check_slo_runs_total"),
        [",result=\"good\"} 0", ",result=\"bad\"} 0"]
    );
    assert_eq!(of("cache", "health_check_transitions_total").len(), 4);
    assert_eq!(
        of("cache", "health_check_skipped_total"),
        [",reason=\"overrun\"} 0", ",reason=\"limit\"} 0"]
    );
    assert_eq!(samples(page, "health_ready"), ["health_ready 0"]);
    assert_eq!(
        samples(page, "health_status{status=\"down\"}"),
        ["health_status{status=\"down\"} 1"]
    );
    health.drain();
    let page = encode(health.state(), Format::Text);
    assert_eq!(samples(text(&page), "health_draining"), ["health_draining 1"]);
}

#[tokio::test]
async fn every_family_is_in_the_table_and_every_row_of_it_on_the_page() {
    let health = rich().exporter(host()).build().expect("checks");
    all_ran(&health).await;
    let (_, page) = get(health.router(), &[]).await;
    let page = text(&page);
    let table: BTreeMap<&str, &Metric> = METRICS.iter().map(|m| (m.name, m)).collect();
    let mut seen = BTreeSet::new();
    let measured = ["health_check_replication_lag_seconds", "health_check_free_ratio"]
        .map(|name| (name, "gauge"));
    for typed in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = typed.split_once(' ').expect("a type");
        assert!(seen.insert(name), "{name} is there twice");
        if measured.contains(&(name, kind)) {
            continue;
        }
        let metric = table.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(kind, metric.kind.as_str(), "{name}");
        assert!(page.contains(&format!("# HELP {name} {}\n", metric.help)), "{name}");
        let sample = match metric.kind {
            MetricType::Histogram => format!("{name}_sum"),
            MetricType::Counter | MetricType::Gauge => name.to_owned(),
        };
        for line in page.lines().filter(|l| l.starts_with(&format!("{sample}{{"))) {
            for label in metric.labels.iter().filter(|l| !l.starts_with("server_")) {
                assert!(
                    line.contains(&format!("{label}=\"")) || metric.origin == Origin::Facade,
                    "{line} has no {label}"
                );
            }
        }
    }
    let all = METRICS.iter().filter(|m| m.origin == Origin::State).map(|m| m.name);
    assert_eq!(all.filter(|name| !seen.contains(name)).collect::<Vec<_>>(), [""; 0]);
    assert!(measured.iter().all(|(name, _)| seen.contains(name)), "{page}");
    assert!(!page.contains("Never seen"), "a measurement took the name of another family");
}

#[tokio::test]
async fn a_check_that_is_removed_leaves_no_series() {
    let health = rich().build().expect("checks");
    all_ran(&health).await;
    let before = encode(health.state(), Format::Text);
    assert!(text(&before).contains("\"vpn\""));
    health.set_checks(vec![("cache".to_owned(), fine(seldom()))]).expect("a plan");
    let after = encode(health.state(), Format::Text);
    let after = text(&after);
    assert!(!after.contains("\"vpn\"") && !after.contains("replication_lag"), "{after}");
    assert_eq!(samples(after, "health_check_up{").len(), 1, "what stays keeps its status");
    assert_eq!(samples(after, "health_checks_configured"), ["health_checks_configured 1"]);
}

#[tokio::test]
async fn the_client_chooses_the_format_and_the_compression() {
    let health = rich().exporter(host()).build().expect("checks");
    all_ran(&health).await;
    let app: Router = health.router();
    let (head, page) = get(app.clone(), &[]).await;
    assert_eq!(head.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(head.headers()[header::VARY], "Accept, Accept-Encoding");
    assert!(!head.headers().contains_key(header::CONTENT_ENCODING));
    assert!(!text(&page).contains("# EOF"));

    let asked = [(header::ACCEPT, OPENMETRICS), (header::ACCEPT_ENCODING, "gzip")];
    let (head, page) = get(app.clone(), &asked).await;
    assert_eq!(
        head.headers()[header::CONTENT_TYPE],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(head.headers()[header::CONTENT_ENCODING], "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&*page).read_to_string(&mut plain).expect("gzip");
    assert!(plain.ends_with("\n# EOF\n") && plain.matches("# EOF").count() == 1);
    assert!(!plain.contains("\n\n"), "no blank line");
    assert!(plain.contains("# TYPE health_check_runs counter\n"));
    assert!(plain.contains("http_server_request_duration_seconds_bucket"));

    let head = Request::head("/metrics").body(Body::empty()).expect("a request");
    let head = app.clone().oneshot(head).await.expect("an answer");
    assert_eq!(head.status(), StatusCode::OK);
    assert_ne!(head.headers()[header::CONTENT_LENGTH], "0");
    assert!(head.into_body().collect().await.expect("a body").to_bytes().is_empty());
    let post = Request::post("/metrics").body(Body::empty()).expect("a request");
    let post = app.oneshot(post).await.expect("an answer");
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()[header::ALLOW], "GET,HEAD");
}

#[tokio::test(start_paused = true)]
async fn the_page_reads_as_it_always_did() {
    let small = Health::builder("small")
        .check("database", seldom().objective(99.9).check(Database))
        .check("vpn", failing(seldom().gates([]), Reason::Timeout));
    let health = small.build().expect("checks");
    all_ran(&health).await;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(timestamp_seconds\{.*\}) \d+\.\d{3}\n", "$1 [time]\n");
    settings.add_filter("rustc_version=\"[^\"]+\"", "rustc_version=\"[rustc]\"");
    settings.bind(|| {
        insta::assert_snapshot!("text", text(&encode(health.state(), Format::Text)));
        insta::assert_snapshot!("openmetrics", text(&encode(health.state(), Format::OpenMetrics)));
    });
}

#[tokio::test]
async fn prometheus_scrapes_it_with_exemplars() {
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let _traced = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let health = rich().exporter(host()).build().expect("checks");
    all_ran(&health).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let server = tokio::spawn(axum::serve(listener, health.router::<()>()).into_future());
    let config = format!(
        "scrape_configs:\n- job_name: vitalsign\n  scrape_interval: 200ms\n  \
         scrape_timeout: 200ms\n  static_configs:\n  - targets: ['{address}']\n"
    );
    let Some(prometheus) = Prometheus::start(&config).await else { return };

    let up = prometheus.query_until("health_check_up", |found| found.len() == 4).await;
    let value = |check: &str| {
        let found = up.iter().find(|s| s["metric"]["check"] == check).expect("its series");
        found["value"][1].clone()
    };
    assert_eq!((value("database"), value("vpn")), ("1".into(), "0".into()));
    let p99 = "histogram_quantile(0.99, health_check_duration_seconds_bucket{check='database'})";
    assert_eq!(prometheus.query_until(p99, |found| !found.is_empty()).await.len(), 1);
    assert_eq!(prometheus.query("process_cpu_seconds_total").await.len(), 1);
    assert_eq!(prometheus.query("tokio_runtime_workers{runtime='http'}").await.len(), 1);
    let host = "http_server_request_duration_seconds_bucket{le='1.0'}";
    assert_eq!(prometheus.query(host).await.len(), 1, "the same bounds everywhere");

    let of_database = "health_check_duration_seconds_bucket{check='database'}";
    let found = prometheus.exemplars(of_database).await;
    let run = health.state().check("database").and_then(|c| c.last_run).expect("it ran");
    let trace = run.trace.expect("its trace");
    let exemplar = &found[0]["exemplars"][0]["labels"];
    assert_eq!(exemplar["trace_id"], trace.trace_id_hex());
    assert_eq!(exemplar["span_id"], trace.span_id_hex());

    health.set_checks(vec![("cache".to_owned(), fine(seldom()))]).expect("a plan");
    prometheus.query_until("health_check_up", |found| found.len() == 1).await;
    server.abort();
}
