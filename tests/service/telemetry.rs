//! Which traces reach a collector, what the dependency is told of them, and what a collector in
//! trouble costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rustix::process::Signal;
use tokio::net::TcpSocket;

use crate::support::daemon::{free_port, wait_for};
use crate::support::otlp::{Answer, Collector, Received};
use crate::support::peer::{self, Peer, http_answer};
use crate::support::prometheus::Prometheus;
use crate::support::service::Service;

/// Starts the service with `config`, spans leaving for `endpoint` as soon as they may.
async fn start(endpoint: &str, config: &str) -> Service {
    start_with(endpoint, config, &[]).await
}

async fn start_with(endpoint: &str, config: &str, variables: &[(&str, &str)]) -> Service {
    let config = format!(
        "[server]\ndrain_delay = \"1ms\"\nshutdown_timeout = \"3s\"\n[telemetry]\ntraces_endpoint = \"http://{endpoint}\"\n{config}"
    );
    Service::start_with(&config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20").envs(variables.iter().copied());
    })
    .await
}

/// The value of the series `name` of `check` with `label` on a metrics page.
fn value(page: &str, name: &str, check: &str, label: &str) -> u64 {
    let series = format!("{name}{{check=\"{check}\",");
    let mut lines = page.lines().filter(|l| l.starts_with(&series) && l.contains(label));
    let line = lines.next().unwrap_or_else(|| panic!("{series} {label}: {page}"));
    line.rsplit(' ').next().and_then(|v| v.parse().ok()).expect("a whole number")
}

/// Ended runs of `check`, of whatever outcome.
fn runs(page: &str, check: &str) -> u64 {
    value(page, "health_check_duration_seconds_count", check, "")
}

/// Every trace that was received, as root and the rest of it.
fn traces<'a>(spans: &'a [Received]) -> Vec<(&'a Received, Vec<&'a Received>)> {
    let mut by_trace: BTreeMap<String, Vec<&Received>> = BTreeMap::new();
    for span in spans {
        by_trace.entry(span.trace_id()).or_default().push(span);
    }
    let split = |spans: Vec<&'a Received>| {
        let (roots, rest): (Vec<&Received>, Vec<_>) =
            spans.into_iter().partition(|s| s.span.parent_span_id.is_empty());
        assert_eq!(roots.len(), 1, "one root a trace: {roots:?} {rest:?}");
        (roots[0], rest)
    };
    by_trace.into_values().map(split).collect()
}

/// Whether a trace is that of a run as any other: no change of status, and not slow.
fn is_steady(root: &Received, half_timeout: u64) -> bool {
    let changed = root.span.events.iter().any(|e| e.name == "health.status_changed");
    let took = root.span.end_time_unix_nano - root.span.start_time_unix_nano;
    !changed && took <= half_timeout
}

/// Waits until there is a moment at which the collector has as many traces of `check` as the
/// check has had runs of `label`.
async fn until_all_arrived(service: &Service, collector: &Collector, check: &str, label: &str) {
    let ended = async || {
        let page = service.get("/metrics").await.body;
        value(&page, "health_check_runs_total", check, label)
    };
    wait_for(&format!("every trace of {check}"), async || {
        let before = ended().await;
        let spans = collector.spans();
        let of_check = |r: &&Received| r.attribute("health.check.name").as_deref() == Some(check);
        let arrived = spans.iter().filter(of_check).count() as u64;
        arrived == before && before == ended().await
    })
    .await;
}

#[tokio::test]
async fn a_failing_run_is_the_same_in_log_status_exemplar_and_span() {
    let collector = Collector::start().await;
    let config = format!(
        "keep_healthy_traces = 0.0\n[checks.api]\nkind = \"tcp\"\n\
         address = \"127.0.0.1:{}\"\ninterval = \"1h\"\n",
        free_port()
    );
    let service = start(&collector.grpc.to_string(), &config).await;
    service.ready_is(503, r#"{"status":"down","api":"down"}"#).await;
    let run = service.status().await["checks"]["api"]["last_run"].clone();
    let trace_id = run["trace_id"].as_str().expect("a trace id").to_owned();

    let line = service.logged("status changed").await;
    assert_eq!(line["trace_id"], trace_id.as_str());
    assert_eq!((&line["level"], &line["to"]), (&"WARN".into(), &"down".into()));
    let spans = collector.wait_for_spans(2).await;
    let traces = traces(&spans);
    let (root, rest) = &traces[0];
    assert_eq!((traces.len(), rest.len()), (1, 1));
    assert_eq!(root.trace_id(), trace_id);
    assert_eq!(rest[0].span.parent_span_id, root.span.span_id);

    let scrape = format!(
        "scrape_configs:\n- job_name: vitalsign\n  scrape_interval: 200ms\n  \
         scrape_timeout: 200ms\n  static_configs:\n  - targets: ['{}']\n",
        service.address
    );
    let Some(prometheus) = Prometheus::start(&scrape).await else { return };
    let found = prometheus.exemplars("health_check_duration_seconds_bucket{check='api'}").await;
    let exemplars = found[0]["exemplars"].as_array().expect("a list");
    assert_eq!(exemplars.len(), 1, "{found:?}");
    assert_eq!(exemplars[0]["labels"]["trace_id"], trace_id.as_str());
    let id = root.span.span_id.as_slice().try_into().expect("8 bytes");
    let span_id = format!("{:016x}", u64::from_be_bytes(id));
    assert_eq!(exemplars[0]["labels"]["span_id"], span_id);
}

#[tokio::test]
async fn of_twenty_good_checks_and_a_failing_one_only_the_failing_ones_traces_are_kept() {
    let collector = Collector::start().await;
    let good = Peer::start(peer::silent()).await;
    let mut config = format!(
        "keep_healthy_traces = 0.0\n[defaults]\ninterval = \"1s\"\ntimeout = \"900ms\"\n\
         [checks.bad]\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\n",
        free_port()
    );
    for i in 0..20 {
        let address = good.address;
        let _ = write!(config, "[checks.good-{i}]\nkind = \"tcp\"\naddress = \"{address}\"\n");
    }
    let service = start(&collector.grpc.to_string(), &config).await;
    service
        .get_until("/metrics", |answer| {
            (0..20).all(|i| runs(&answer.body, &format!("good-{i}")) >= 4)
                && runs(&answer.body, "bad") >= 4
        })
        .await;
    until_all_arrived(&service, &collector, "bad", "\"failure\"").await;
    let page = service.get("/metrics").await.body;
    let failed = value(&page, "health_check_runs_total", "bad", "\"failure\"");
    assert_eq!(service.stop().await.0.code(), Some(0));

    let spans = collector.spans();
    let mut bad = 0;
    for (root, rest) in traces(&spans) {
        let name = root.attribute("health.check.name").expect("a name");
        assert_eq!(rest.len(), 1, "{name}: root and client");
        assert_eq!(rest[0].span.kind(), SpanKind::Client);
        if name == "bad" {
            bad += 1;
        } else {
            assert!(!is_steady(root, 450_000_000), "{name} was kept: {root:?}");
        }
    }
    assert!(bad >= failed, "{bad} of {failed}");
}

#[tokio::test]
async fn with_a_share_of_one_every_runs_trace_is_kept() {
    let collector = Collector::start().await;
    let good = Peer::start(peer::silent()).await;
    let config = format!(
        "keep_healthy_traces = 1.0\n[checks.good]\nkind = \"tcp\"\naddress = \"{}\"\n\
         interval = \"1s\"\n",
        good.address
    );
    let service = start(&collector.grpc.to_string(), &config).await;
    service.get_until("/metrics", |answer| runs(&answer.body, "good") >= 4).await;
    until_all_arrived(&service, &collector, "good", "\"success\"").await;
    let before = runs(&service.get("/metrics").await.body, "good");
    assert_eq!(service.stop().await.0.code(), Some(0));
    let spans = collector.spans();
    let traces = traces(&spans);
    assert!(traces.iter().all(|(_, rest)| rest.len() == 1));
    assert!(traces.len() as u64 >= before, "{} of {before}", traces.len());
}

/// The trace context that each of `requests` carried.
fn contexts(requests: &[String]) -> Vec<Option<&str>> {
    let of = |request: &'_ str| request.find("traceparent: ").map(|at| at + 13);
    requests.iter().map(|r| of(r).and_then(|at| r[at..].lines().next())).collect()
}

/// A check of `peer` with these further lines, and of the whole configuration's share.
fn asking(peer: &Peer, share: &str, more: &str) -> String {
    format!(
        "keep_healthy_traces = {share}\n[checks.api]\nkind = \"http\"\n\
         url = \"http://{}/\"\ninterval = \"1s\"\n{more}\n",
        peer.address
    )
}

async fn answering(status: &'static str) -> Peer {
    Peer::http(move |_| http_answer(status, "", "")).await
}

/// The context of the first request as the CLIENT span of the first trace would have sent it.
async fn sent_by_client_span(collector: &Collector, flag: &str) -> String {
    let spans = collector.wait_for_spans(2).await;
    let traces = traces(&spans);
    let first = traces.iter().min_by_key(|(root, _)| root.span.start_time_unix_nano);
    let (_, rest) = first.expect("a trace");
    let id = rest[0].span.span_id.as_slice().try_into().expect("8 bytes");
    format!("00-{}-{:016x}-{flag}", rest[0].trace_id(), u64::from_be_bytes(id))
}

#[tokio::test]
async fn the_dependency_of_a_share_of_none_is_told_unsampled_though_failures_are_kept() {
    let (collector, peer) = (Collector::start().await, answering("500 Oh").await);
    let service = start(&collector.grpc.to_string(), &asking(&peer, "0.0", "")).await;
    let sent = sent_by_client_span(&collector, "00").await;
    let requests = peer.requests();
    assert_eq!(contexts(&requests)[0], Some(&*sent), "{requests:?}");
    drop(service);
}

#[tokio::test]
async fn the_dependency_of_a_share_of_one_is_told_sampled_by_the_client_span() {
    let (collector, peer) = (Collector::start().await, answering("200 OK").await);
    let config = "traces_protocol = \"http/protobuf\"\n".to_owned() + &asking(&peer, "1.0", "");
    let service = start(&collector.http.to_string(), &config).await;
    let sent = sent_by_client_span(&collector, "01").await;
    let requests = peer.requests();
    assert_eq!(contexts(&requests)[0], Some(&*sent), "{requests:?}");
    drop(service);
}

#[tokio::test]
async fn no_trace_context_is_sent_where_none_is_wanted() {
    let none = [("OTEL_PROPAGATORS", "none")];
    for (more, variables) in [("propagate = false", &[][..]), ("", &none)] {
        let (collector, peer) = (Collector::start().await, answering("200 OK").await);
        let config = asking(&peer, "1.0", more);
        let service = start_with(&collector.grpc.to_string(), &config, variables).await;
        collector.wait_for_spans(2).await;
        assert_eq!(contexts(&peer.requests())[0], None, "{more}");
        drop(service);
    }
}

#[tokio::test]
async fn a_collector_that_comes_late_delays_nothing_and_is_worth_two_lines() {
    let collector = Collector::start().await;
    let reserved = TcpSocket::new_v4().expect("a socket");
    reserved.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = reserved.local_addr().expect("its address");
    let good = Peer::start(peer::silent()).await;
    let config = format!(
        "keep_healthy_traces = 1.0\n[checks.good]\nkind = \"tcp\"\naddress = \"{}\"\n\
         interval = \"200ms\"\n",
        good.address
    );
    let service =
        start_with(&address.to_string(), &config, &[("OTEL_BSP_EXPORT_TIMEOUT", "100")]).await;
    let lost = |page: &str| {
        let found = page.lines().find(|l| {
            l.starts_with("otel_sdk_exporter_span_exported_total") && l.contains("unreachable")
        });
        found.and_then(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    // Three batches at least: two spans are in each run's.
    let page = service.get_until("/metrics", |answer| lost(&answer.body) >= 6).await.body;
    assert!(runs(&page, "good") >= 3);

    let listener = reserved.listen(16).expect("it is ours");
    let to = collector.grpc;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    collector.wait_for_spans(6).await;
    let (status, log) = service.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.matches("traces are not delivered").count(), 1, "{log}");
    assert_eq!(log.matches("traces are delivered again").count(), 1, "{log}");
    let of = |message: &str| log.lines().find(|l| l.contains(message)).expect("a line").to_owned();
    assert!(of("traces are not delivered").contains(r#""level":"WARN""#), "{log}");
    assert!(of("traces are delivered again").contains(r#""level":"INFO""#), "{log}");
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_no_check_and_no_stop() {
    let collector = Collector::start().await;
    collector.answer([Answer::Hang]);
    let config = format!(
        "[checks.bad]\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\ninterval = \"200ms\"\n",
        free_port()
    );
    // Ten times as long as the test waits for the end.
    let patient = [("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"), ("OTEL_BSP_EXPORT_TIMEOUT", "600000")];
    let service = start_with(&collector.grpc.to_string(), &config, &patient).await;
    collector.wait_for_requests(1).await;
    let before = runs(&service.get("/metrics").await.body, "bad");
    service.get_until("/metrics", |answer| runs(&answer.body, "bad") >= before + 5).await;
    service.signal(Signal::TERM);
    let (status, log) = service.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("spans were lost at shutdown"), "{log}");
}

#[tokio::test]
async fn a_stop_sends_the_spans_that_still_wait() {
    let collector = Collector::start().await;
    let config = format!(
        "[checks.bad]\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\ninterval = \"1h\"\n",
        free_port()
    );
    let patient = [("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    let service = start_with(&collector.grpc.to_string(), &config, &patient).await;
    service.ready_is(503, r#"{"status":"down","bad":"down"}"#).await;
    assert_eq!(collector.spans().len(), 0);
    let (status, log) = service.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(collector.spans().len(), 2, "{log}");
}
