//! Every query against a real Prometheus that scrapes the real service.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::Value as Json;

use super::promql::parse;
use super::{Query, choices, dashboards, queries};
use crate::support::certs::{Authority, file};
use crate::support::daemon::free_port;
use crate::support::otlp::Collector;
use crate::support::peer::{Peer, http_answer};
use crate::support::prometheus::Prometheus;
use crate::support::redis::Redis;
use crate::support::service::Service;

/// Parts of queries that have no data here, and why.
const WITHOUT_DATA: &[(&str, &str)] = &[
    ("health_check_replication_lag_seconds", "no replica of a database is asked"),
    ("health_check_pool_", "pools are those of applications"),
    ("changes(process_start_time_seconds", "the service is not restarted"),
    ("error_type!=\"\"", "no span is dropped"),
    ("health_history_dropped_total", "nothing of the history is dropped"),
    ("health_alertmanager_posts_total", "no Alertmanager is configured"),
];

/// A query as Grafana sends it, with all that can be chosen.
fn filled(expression: &str) -> String {
    let mut text = expression.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "30s"),
        ("$__range", "5m"),
        ("$job", "vitalsign"),
        ("$instance", ".+"),
        ("$check", ".+"),
    ] {
        text = text.replace(variable, value);
    }
    assert!(!text.contains('$'), "a variable is left: {text}");
    text
}

/// Whether an answer shows anything: NaN shows nothing.
fn shows(series: &[Json]) -> bool {
    series.iter().any(|one| one["value"][1] != "NaN")
}

/// Whether a query is to have data.
fn has_data(query: &Query) -> bool {
    !WITHOUT_DATA.iter().any(|(part, _)| query.expression.contains(part))
}

/// A dependency that fails every other four requests.
async fn unsteady() -> Peer {
    let count = AtomicUsize::new(0);
    Peer::http(move |_| {
        let fails = count.fetch_add(1, Ordering::Relaxed) / 4 % 2 == 1;
        http_answer(if fails { "500 Oh" } else { "200 OK" }, "", "")
    })
    .await
}

#[tokio::test]
async fn every_query_of_the_dashboards_has_data() {
    let (collector, api) = (Collector::start().await, unsteady().await);
    let authority = Authority::new();
    let server = authority.issue("localhost").server(None);
    let web = Peer::https(server, |_| http_answer("200 OK", "", "")).await;
    let ca = file(&authority.pem);
    let Some(original) = Redis::start().await else { return };
    let follow = format!("replicaof 127.0.0.1 {}", original.port());
    let Some(copy) = Redis::start_with(&[&follow], &[]).await else { return };
    let config = format!(
        r#"
        [server]
        drain_delay = "10ms"
        [telemetry]
        traces_endpoint = "http://{}"
        keep_healthy_traces = 1.0
        [defaults]
        interval = "200ms"
        failure_threshold = 1
        [checks.api]
        kind = "http"
        url = "http://{}/"
        objective = 99.0
        [checks.web]
        kind = "http"
        url = "https://{}/"
        tls = {{ ca = "{}", server_name = "localhost" }}
        [checks.gone]
        kind = "tcp"
        address = "127.0.0.1:{}"
        gates = []
        [checks.copy]
        kind = "redis"
        url = "{}"
        [checks.space]
        kind = "disk"
        path = "/"
        gates = []
        "#,
        collector.grpc,
        api.address,
        web.address,
        ca.path().display(),
        free_port(),
        copy.url(),
    );
    let service = Service::start_with(&config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    })
    .await;
    let scrape = format!(
        "scrape_configs:\n- job_name: vitalsign\n  scrape_interval: 200ms\n  \
         scrape_timeout: 200ms\n  static_configs:\n  - targets: ['{}']\n",
        service.address
    );
    let Some(prometheus) = Prometheus::start(&scrape).await else { return };
    let asked: Vec<Query> = queries().into_iter().filter(has_data).collect();
    let expressions: BTreeSet<_> = asked.iter().map(|q| filled(&q.expression)).collect();
    // What compares with the past needs one; the reload is to be younger than its window.
    let (compared, others): (BTreeSet<_>, BTreeSet<_>) =
        expressions.iter().partition(|expression| expression.contains("offset"));
    for expression in compared {
        prometheus.query_until(expression, shows).await;
    }
    // A reload shows as a change of what was scraped before.
    prometheus.query_until("health_config_reloads_total", |found| !found.is_empty()).await;
    service.signal(Signal::HUP);
    for expression in others {
        prometheus.query_until(expression, shows).await;
    }
    let exemplars = asked.iter().filter(|q| q.exemplar).map(|q| filled(&q.expression));
    for expression in exemplars.collect::<BTreeSet<_>>() {
        let found = prometheus.exemplars(&expression).await;
        let labels = &found[0]["exemplars"][0]["labels"];
        assert!(labels["trace_id"].is_string(), "{expression}: {found:?}");
    }
    for dashboard in dashboards().values() {
        for (selector, label) in choices(dashboard) {
            let expression = filled(&format!("count by ({label}) ({selector})"));
            let found = prometheus.query_until(&expression, |found| !found.is_empty()).await;
            assert!(found[0]["metric"][&label].is_string(), "{expression}: {found:?}");
        }
    }
    assert_eq!(service.stop().await.0.code(), Some(0));
}

/// Growth shows only from a value that was there before: a counter that appears with its first
/// event has grown by nothing, unless the query adds what appears.
#[tokio::test]
async fn every_counter_whose_growth_is_shown_is_there_before_its_first_event() {
    let service = Service::start(
        r#"
        [telemetry]
        traces_endpoint = "http://127.0.0.1:9"
        [alertmanager]
        urls = ["http://127.0.0.1:9"]
        [checks.idle]
        kind = "heartbeat"
        token = "a token for it"
        grace = "1h"
        "#,
    )
    .await;
    let page = service.get("/metrics").await.body;
    let is_there = |metric: &str| {
        let begins =
            |line: &str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
        page.lines().any(begins)
    };
    assert!(is_there("health_check_runs_total") && !is_there("health_check_failures_total"));
    for query in queries() {
        let adds_what_appears = |metric: &str| {
            let before = format!("{metric}{{");
            query.expression.contains(&before) && query.expression.contains(" unless ")
        };
        for selector in parse(&query.expression).selectors {
            let metric = &selector.metric;
            let grows = ["rate", "irate", "increase"].contains(&&*selector.function);
            assert!(
                !grows || is_there(metric) || adds_what_appears(metric),
                "{}: the first event of {metric} does not show",
                query.at
            );
        }
    }
}

#[test]
fn few_queries_are_left_out_and_for_a_reason() {
    let queries = queries();
    for (part, reason) in WITHOUT_DATA {
        let there = queries.iter().any(|query| query.expression.contains(part));
        assert!(there, "no query has `{part}` any more ({reason}); take it off the list");
    }
    for query in queries.iter().filter(|query| !has_data(query)) {
        eprintln!("LEFT OUT: {} has no data in tests", query.at);
    }
    let asked = queries.iter().filter(|query| has_data(query)).count();
    assert!(asked * 10 > queries.len() * 8, "{asked} of {}", queries.len());
}
