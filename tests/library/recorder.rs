//! The series of the checks in a host's recorder instead of on a route.

#![allow(clippy::float_cmp, reason = "the values that are compared are whole")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get as route;
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::sleep;
use tower::ServiceExt;
use vitalsign::metrics::{self, Exposition, Format, encode};
use vitalsign::{
    Builder, Check, Context, Declared, Detail, Details, Failure, Health, Measurement, Phase,
    Reason, Status, every,
};

use super::{get, samples};
use crate::exposition::{all_ran, failing, fine, rich, seldom};
use crate::support::prometheus::promtool_check_metrics;

const SECOND: Duration = Duration::from_secs(1);

/// A recorder with what shows its series.
fn recorder() -> (Exposition, PrometheusHandle) {
    let (recorder, handle) = metrics::exporter();
    (Exposition::Recorder(Arc::new(recorder)), handle)
}

/// `builder` started with a recorder of its own.
pub(super) fn recorded(builder: Builder) -> (Health, PrometheusHandle) {
    let (exposition, handle) = recorder();
    (builder.metrics(exposition).build().expect("checks"), handle)
}

/// What the page shows of `health`, and what the recorder has beside the same; whatever both have
/// must be the same.
pub(super) fn compare(health: &Health, handle: &PrometheusHandle) -> (Samples, Samples) {
    let page = encode(health.state(), Format::Text);
    let page = samples(std::str::from_utf8(&page).expect("UTF-8"));
    let mut recorded = samples(&handle.render());
    for (series, value) in &page {
        let found = recorded.remove(series).unwrap_or_else(|| panic!("{series} is not recorded"));
        let same = (found - value).abs() <= 1e-9 * value.abs() || found.is_nan() && value.is_nan();
        assert!(same, "{series} is {value} on the page and {found} in the recorder");
    }
    (page, recorded)
}

pub(super) type Samples = BTreeMap<String, f64>;

fn assert_the_same(health: &Health, handle: &PrometheusHandle) {
    let (page, rest) = compare(health, handle);
    assert!(page.len() > 80 && rest.is_empty(), "recorded beside: {rest:?}");
}

async fn until(health: &Health, name: &str, is: impl Fn(&vitalsign::CheckView) -> bool) {
    while !health.state().check(name).is_some_and(|check| is(&check)) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Tells a phase and figures with its first run, and then lacks the means to run.
struct Once(AtomicU32);

const LAG: Measurement = Measurement { name: "replication_lag_seconds", help: "How far behind." };

#[async_trait]
impl Check for Once {
    fn kind(&self) -> &'static str {
        "once"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        if self.0.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(Failure::new(Reason::LocalResource, "no descriptor"));
        }
        cx.phase(Phase::Connect, sleep(Duration::from_millis(1))).await;
        cx.measure(&LAG, 0.5);
        Ok(Detail::ok())
    }
}

/// A check that fails as long as `failing` is not 0.
fn switched(failing: &Arc<AtomicU32>) -> Declared {
    let failing = Arc::clone(failing);
    every(SECOND).failure_threshold(1).from_fn(move || {
        let fails = failing.load(Ordering::Relaxed) > 0;
        async move { if fails { Err(Failure::new(Reason::Other, "off")) } else { Ok(()) } }
    })
}

#[tokio::test]
async fn a_recorder_has_the_series_of_the_page() {
    let (health, handle) = recorded(rich().metric_label("app", "a \"b\"\\"));
    all_ran(&health).await;
    assert_the_same(&health, &handle);
    health.drain();
    assert_the_same(&health, &handle);
    let page = handle.render();
    assert!(page.contains("# HELP health_check_up 1 while the check is up"), "{page}");
    assert!(page.contains("# HELP health_check_replication_lag_seconds How far"), "{page}");
    let Some(said) = promtool_check_metrics(page.as_bytes()) else { return };
    assert_eq!(said, "");
}

#[tokio::test(start_paused = true)]
async fn a_recorder_hears_of_maintenance_and_of_runs_that_are_skipped() {
    let slow = every(SECOND).timeout(Duration::from_millis(999)).from_fn(async || {
        // Longer than the interval in the check's own time: the deadline that passes is skipped.
        tokio::time::advance(SECOND * 3).await;
        Ok::<(), Failure>(())
    });
    let (health, handle) = recorded(Health::builder("small").check("slow", slow));
    let skipped = |page: &Samples| {
        page.iter().any(|(series, count)| series.contains("skipped") && *count > 0.0)
    };
    while !skipped(&compare(&health, &handle).0) {
        sleep(SECOND).await;
    }
    let from = std::time::SystemTime::now() - SECOND * 60;
    let window = vitalsign::Window::once(from, from + SECOND * 3_600).expect("a window");
    health.set_maintenance(vec![window]);
    while !health.state().check("slow").expect("a check").maintenance {
        sleep(SECOND).await;
    }
    let (page, rest) = compare(&health, &handle);
    let series = "health_check_maintenance{\"check\": \"slow\", \"kind\": \"function\"}";
    assert!(page[series] == 1.0 && rest.is_empty(), "{page:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_page_shows_no_longer_is_nan() {
    let (health, handle) = recorded(
        Health::builder("small")
            .check("once", every(SECOND).objective(99.9).check(Once(AtomicU32::new(0))))
            .check("gone", fine(seldom())),
    );
    until(&health, "once", |check| check.status == Status::Up).await;
    until(&health, "gone", |check| check.last_run.is_some()).await;
    assert!(compare(&health, &handle).1.is_empty(), "all is there");
    until(&health, "once", |check| check.status == Status::Unknown).await;
    let (_, rest) = compare(&health, &handle);
    let labels = "{\"check\": \"once\", \"kind\": \"once\"}";
    let phase = "{\"check\": \"once\", \"kind\": \"once\", \"phase\": \"connect\"}";
    let gone = [
        format!("health_check_phase_duration_seconds{phase}"),
        format!("health_check_replication_lag_seconds{labels}"),
        format!("health_check_up{labels}"),
    ];
    assert!(rest.keys().eq(&gone), "{rest:?}");
    assert!(rest.values().all(|value| value.is_nan()), "{rest:?}");

    let once = every(SECOND).label("team", "b").check(Once(AtomicU32::new(1)));
    health.set_checks(vec![("once".to_owned(), once)]).expect("a plan");
    let (_, rest) = compare(&health, &handle);
    let stays = |series: &str| {
        series.contains("_total{") || series.starts_with("health_check_duration_seconds")
    };
    for (series, value) in &rest {
        assert!(value.is_nan() || stays(series) && series.contains("\"gone\""), "{series} {value}");
    }
    let nan = |start: &str| rest.iter().any(|(s, v)| s.starts_with(start) && v.is_nan());
    for start in ["health_check_info{", "health_check_objective_ratio{", "health_check_status{"] {
        assert!(nan(start), "{start} {rest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn counters_go_on_when_a_check_comes_back() {
    let checks = || vec![("a".to_owned(), fine(seldom()))];
    let (health, handle) = recorded(Health::builder("small").check("a", fine(seldom())));
    let ran = |check: &vitalsign::CheckView| check.last_run.is_some();
    until(&health, "a", ran).await;
    health.set_checks(vec![("b".to_owned(), fine(seldom()))]).expect("a plan");
    health.set_checks(checks()).expect("a plan");
    until(&health, "a", ran).await;
    let runs = |page: &str| {
        let series = "health_check_runs_total{\"check\": \"a\", \"kind\": \"function\", \
                      \"outcome\": \"success\"}";
        samples(page)[series]
    };
    let page = encode(health.state(), Format::Text);
    assert_eq!(runs(std::str::from_utf8(&page).expect("UTF-8")), 1.0);
    assert_eq!(runs(&handle.render()), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_goes_on_and_one_of_another_kind_begins_anew() {
    let (health, handle) = recorded(Health::builder("small").check("a", fine(every(SECOND))));
    let ran = |check: &vitalsign::CheckView| check.last_run.is_some();
    until(&health, "a", ran).await;
    let changed = every(SECOND * 2).objective(90.0);
    health.set_checks(vec![("a".to_owned(), fine(changed))]).expect("a plan");
    sleep(SECOND * 5).await;
    let (_, rest) = compare(&health, &handle);
    assert!(rest.is_empty(), "{rest:?}");
    let once = every(SECOND).check(Once(AtomicU32::new(0)));
    health.set_checks(vec![("a".to_owned(), once)]).expect("a plan");
    until(&health, "a", |check| check.info.kind == "once" && check.last_run.is_some()).await;
    sleep(SECOND * 5).await;
    let (_, rest) = compare(&health, &handle);
    assert!(rest.keys().any(|series| series.starts_with("health_check_runs_total")), "{rest:?}");
    let gauges = rest.iter().filter(|(s, _)| s.contains("\"function\"") && s.contains("_status{"));
    assert!(gauges.clone().count() == 4 && gauges.into_iter().all(|(_, v)| v.is_nan()), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recorder_hears_what_is_suppressed_as_its_dependency_comes_and_goes() {
    let off = Arc::new(AtomicU32::new(1));
    let behind = || fine(every(SECOND).depends_on("vpn"));
    let builder = Health::builder("small").check("vpn", switched(&off)).check("behind", behind());
    let (health, handle) = recorded(builder);
    let suppressed = |handle: &PrometheusHandle| {
        let series = "health_check_suppressed{\"check\": \"behind\", \"kind\": \"function\"}";
        assert!(compare(&health, handle).1.is_empty());
        samples(&handle.render())[series]
    };
    assert_eq!(suppressed(&handle), 0.0);
    until(&health, "vpn", |check| check.status == Status::Down).await;
    assert_eq!(suppressed(&handle), 1.0);
    off.store(0, Ordering::Relaxed);
    until(&health, "vpn", |check| check.status == Status::Up).await;
    assert_eq!(suppressed(&handle), 0.0);
    off.store(1, Ordering::Relaxed);
    until(&health, "vpn", |check| check.status == Status::Down).await;
    assert_eq!(suppressed(&handle), 1.0);
    let free = vec![("vpn".to_owned(), switched(&off)), ("behind".to_owned(), fine(every(SECOND)))];
    health.set_checks(free).expect("a plan");
    assert_eq!(suppressed(&handle), 0.0, "it depends on nothing any more");
    let again = vec![("vpn".to_owned(), switched(&off)), ("behind".to_owned(), behind())];
    health.set_checks(again).expect("a plan");
    assert_eq!(suppressed(&handle), 1.0, "and again it does");
}

#[tokio::test]
async fn a_host_with_a_page_of_its_own_merges_any_of_the_routers() {
    let (health, handle) = recorded(Health::builder("small").check("a", fine(seldom())));
    all_ran(&health).await;
    let page = move || route(move || async move { handle.render() });
    let own = |path: &str| Router::new().route(path, page.clone()());
    let both = health.probe_router().merge(health.detail_router());
    for (host, at) in [
        (own("/metrics").merge(health.router()), ""),
        (own("/internal/metrics").merge(health.router_at("internal")), "/internal"),
        (own("/metrics").merge(health.probe_router()), ""),
        (own("/metrics").merge(both), ""),
    ] {
        let (status, page) = get(host.clone(), &format!("{at}/metrics")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(page.matches("\nhealth_ready 1\n").count(), 1, "{page}");
        assert_eq!(get(host, &format!("{at}/ready")).await.0, StatusCode::OK);
    }
}

/// The routers of `health` without a host's routes, and where `/metrics` would be in each.
fn routers(health: &Health) -> [(&'static str, Router, &'static str); 5] {
    [
        ("router", health.router(), "/metrics"),
        ("router_at", health.router_at("/internal"), "/internal/metrics"),
        ("detail_router", health.detail_router(), "/metrics"),
        ("into_app", Router::new().fallback_service(health.clone().into_app()), "/metrics"),
        ("probe_router", health.probe_router(), "/metrics"),
    ]
}

#[tokio::test]
async fn no_router_has_metrics_that_go_elsewhere_and_all_but_that_of_the_probes_have_the_others() {
    let (exposition, handle) = recorder();
    let with = |exposition: Exposition| Health::builder("small").metrics(exposition);
    let elsewhere = with(exposition.clone()).build().expect("no checks");
    for (name, router, path) in routers(&elsewhere) {
        assert_eq!(get(router, path).await.0, StatusCode::NOT_FOUND, "{name}");
    }
    let (_, document) = get(elsewhere.detail_router(), "/openapi.json").await;
    assert!(document.contains("\"/status\"") && !document.contains("\"/metrics\""), "{document}");

    let shown = with(exposition).metric_label("app", "b").exporter(handle);
    for health in [Health::builder("small"), shown].map(|builder| builder.build().expect("it")) {
        for (name, router, path) in routers(&health) {
            let (status, page) = get(router, path).await;
            let has = name != "probe_router";
            assert_eq!(status == StatusCode::OK, has, "{name}: {page}");
            assert_eq!(page.contains("health_ready"), has, "{name}: {page}");
        }
        let (_, document) = get(health.detail_router(), "/openapi.json").await;
        assert!(document.contains("\"/metrics\""), "{document}");
    }
}

#[tokio::test]
async fn the_page_for_people_links_to_metrics_where_there_are_any() {
    for (exposition, links) in [(Exposition::Route, true), (recorder().0, false)] {
        // Whoever may not see hosts in causes is not led to where they stand in labels.
        let health = Health::builder("small").details(Details::Always).metrics(exposition);
        let health = health.build().expect("no checks");
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let answer = health.into_app().oneshot(request).await.expect("an answer");
        let page = answer.into_body().collect().await.expect("a body").to_bytes();
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains("For machines"), "{page}");
        assert_eq!(page.contains("metrics\">Metrics</a>"), links, "{page}");
    }
}

#[tokio::test]
async fn with_the_hosts_exporter_the_route_shows_each_series_once() {
    let (exposition, handle) = recorder();
    let builder = rich().metrics(exposition).exporter(handle.clone());
    let health = builder.build().expect("checks");
    all_ran(&health).await;
    let (status, page) = get(health.router(), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let recorded = samples(&handle.render());
    assert_eq!(samples(&page).len(), recorded.len(), "each once");
    assert_eq!(page.matches("# TYPE health_check_up gauge\n").count(), 1);
    let Some(said) = promtool_check_metrics(page.as_bytes()) else { return };
    assert_eq!(said, "");
}

#[tokio::test]
async fn two_on_one_recorder_need_labels_that_differ() {
    let (exposition, handle) = recorder();
    let small = |reason: Option<Reason>| {
        let check = reason.map_or_else(|| fine(seldom()), |reason| failing(seldom(), reason));
        let small = Health::builder("small").metrics(exposition.clone()).check("db", check);
        small.exporter(handle.clone())
    };
    let first = small(None).metric_label("app", "one").build().expect("the first");
    let error = small(None).metric_label("app", "one").build().expect_err("the same series");
    let said = error.to_string();
    assert!(said.contains("app=\"one\"") && said.contains("metric_label("), "{said}");
    let second = small(Some(Reason::Other)).metric_label("app", "two").build().expect("others");
    all_ran(&first).await;
    all_ran(&second).await;
    let up = |app: &str| {
        let labels = format!("{{\"app\": \"{app}\", \"check\": \"db\", \"kind\": \"function\"}}");
        samples(&handle.render())[&format!("health_check_up{labels}")]
    };
    assert_eq!((up("one"), up("two")), (1.0, 0.0));
    for health in [&first, &second] {
        let (_, page) = get(health.router(), "/metrics").await;
        assert_eq!(samples(&page).len(), samples(&handle.render()).len(), "both services': {page}");
    }

    drop(first);
    assert!(up("one").is_nan() && up("two") == 0.0, "what is dropped is not known");
    let third = small(None).metric_label("app", "one").build().expect("the labels are free");
    all_ran(&third).await;
    assert_eq!(up("one"), 1.0);
}

#[tokio::test]
async fn an_exporter_is_shown_by_each_route_that_is_given_it() {
    let (host, handle) = metrics::exporter();
    ::metrics::with_local_recorder(&host, || ::metrics::counter!("jobs_total").increment(7));
    let small = || Health::builder("small").exporter(handle.clone());
    let (one, two) = (small().build().expect("one"), small().build().expect("two"));
    let recorded = small().metrics(Exposition::Recorder(Arc::new(host))).metric_label("app", "b");
    let recorded = recorded.build().expect("others' series");
    let label = "{app=\"b\"}";
    for (health, labels) in [(&one, ""), (&two, ""), (&recorded, label)] {
        let (_, page) = get(health.router(), "/metrics").await;
        assert!(page.contains("\njobs_total 7\n"), "{page}");
        let ready = format!("\nhealth_ready{labels} 1\n");
        assert!(page.contains(&ready) && page.matches("\nhealth_ready").count() == 1, "{page}");
    }
}

#[tokio::test]
async fn what_http_tells_is_of_the_process_and_goes_to_its_recorder() {
    let (process, of_process) = metrics::exporter();
    let _guard = ::metrics::set_default_local_recorder(&process);
    let (health, handle) =
        recorded(Health::builder("small").metric_label("app", "b").measure_requests());
    assert_eq!(get(health.router(), "/ready").await.0, StatusCode::OK);
    let name = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                http_route=\"/ready\",http_response_status_code=\"200\"} 1\n";
    let (process, own) = (of_process.render(), handle.render());
    assert!(process.contains(name) && !process.contains("health_ready"), "{process}");
    assert!(own.contains("health_ready") && !own.contains("http_server"), "{own}");
}
