//! Collectors that are down, slow or refusing.

use super::*;
use crate::support::peer::{Peer, http_answer};

/// The answer that makes a request fail for a while, in the words of `protocol`.
fn unavailable(protocol: Protocol) -> Answer {
    match protocol {
        Protocol::Grpc => Answer::Status(tonic::Code::Unavailable),
        Protocol::HttpProtobuf => Answer::Fail(503, &[]),
    }
}

#[tokio::test]
async fn trouble_is_logged_once_when_it_begins_and_once_when_it_ends() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.answer([match protocol {
            Protocol::Grpc => Answer::Status(tonic::Code::PermissionDenied),
            Protocol::HttpProtobuf => Answer::Fail(403, &[]),
        }]);
        let running = Setup::new().to(&collector, protocol).build();
        for count in 1..=3 {
            running.run(true);
            collector.wait_for_requests(count).await;
        }
        running.lines.wait_for("traces are not delivered").await;
        collector.answer([Answer::Take]);
        running.run(true);
        running.lines.wait_for("traces are delivered again").await;
        running.run(true);
        let lines = running.lines.clone();
        assert_eq!(running.shutdown().await, 0);
        let text = lines.text();
        let lines = lines.all();
        let about = |text| lines.iter().filter(|line| line.contains(text)).collect::<Vec<_>>();
        let [begin] = &*about("traces are not delivered") else { panic!("{lines:#?}") };
        assert!(begin.contains("\"level\":\"WARN\"") && begin.contains("127.0.0.1"), "{begin}");
        assert!(begin.contains("\"error_type\":\"auth_failed\""), "{begin}");
        let [end] = &*about("traces are delivered again") else { panic!("{lines:#?}") };
        assert!(end.contains("\"level\":\"INFO\"") && end.contains("\"spans_lost\":6"), "{end}");
        // Nothing else speaks of it but the runs' own lines.
        assert_eq!(lines.len(), 2 + about("a line within the run").len(), "{lines:#?}");
        assert!(!text.contains("secret text"));
    }
}

#[tokio::test]
async fn a_refused_connection_is_trouble_too() {
    for protocol in PROTOCOLS {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let setup = Setup::new().at(&format!("http://{address}"), protocol);
        let running = setup.env("OTEL_BSP_EXPORT_TIMEOUT", "2000").build();
        running.run(true);
        running.lines.wait_for("\"error_type\":\"unreachable\"").await;
        assert!(running.lines.text().contains("refused"), "{}", running.lines.text());
    }
}

#[tokio::test]
async fn a_mismatch_of_protocols_is_named() {
    let collector = Collector::start().await;
    // As most collectors do on the port for HTTP, it speaks HTTP/1.1 alone.
    let peer = Peer::http(|_| http_answer("400 Bad Request", "", "what is PRI?")).await;
    for (address, protocol, right) in [
        (peer.address, Protocol::Grpc, "http/protobuf"),
        (collector.grpc, Protocol::HttpProtobuf, "grpc"),
    ] {
        let setup = Setup::new().at(&format!("http://{address}"), protocol);
        let running = setup.env("OTEL_BSP_EXPORT_TIMEOUT", "3000").build();
        running.run(true);
        running.lines.wait_for("traces are not delivered").await;
        let text = running.lines.text();
        let advice = format!("set the protocol to {right} (OTEL_EXPORTER_OTLP_PROTOCOL");
        assert!(text.contains(&advice), "{text}");
    }
}

#[tokio::test]
async fn the_words_of_the_collector_are_logged_without_secrets() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.answer([Answer::Reject(1), Answer::Reject(0), Answer::Reject(0), Answer::Take]);
        let setup = Setup::new().to(&collector, protocol);
        let setup = setup.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2");
        let running = setup.build();
        for count in 1..=4 {
            running.run(true);
            collector.wait_for_requests(count).await;
        }
        running.lines.wait_for("traces are delivered again").await;
        let lines = running.lines.clone();
        running.shutdown().await;
        let (text, all) = (lines.text(), lines.all());
        let with = |text: &str| all.iter().filter(|line| line.contains(text)).count();
        assert_eq!(with("without all of its spans: a span was too old for [secret]"), 1, "{text}");
        assert_eq!(with("took the traces with a remark"), 1, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_passing_failure_is_retried_and_not_worth_a_line() {
    for (protocol, answer) in [
        (Protocol::Grpc, unavailable(Protocol::Grpc)),
        (Protocol::HttpProtobuf, unavailable(Protocol::HttpProtobuf)),
        (Protocol::HttpProtobuf, Answer::Fail(429, &[("retry-after", "0")])),
    ] {
        let collector = Collector::start().await;
        collector.answer([answer, Answer::Take]);
        let running = Setup::new().to(&collector, protocol).build();
        running.run(true);
        collector.wait_for_spans(2).await;
        assert_eq!(collector.requests().len(), 2);
        assert!(!running.lines.text().contains("delivered"), "{}", running.lines.text());
        assert_eq!(running.shutdown().await, 0);
    }
}

#[tokio::test]
async fn a_final_failure_is_not_retried() {
    for (protocol, answer, kind) in [
        (Protocol::Grpc, Answer::Status(tonic::Code::ResourceExhausted), "rate_limited"),
        (Protocol::Grpc, Answer::Status(tonic::Code::Unauthenticated), "auth_failed"),
        (Protocol::HttpProtobuf, Answer::Fail(400, &[]), "rejected"),
        (Protocol::HttpProtobuf, Answer::Fail(302, &[("location", "http://x/")]), "other"),
    ] {
        let collector = Collector::start().await;
        collector.answer([answer]);
        let running = Setup::new().to(&collector, protocol).build();
        running.run(true);
        running.lines.wait_for(&format!("\"error_type\":\"{kind}\"")).await;
        assert_eq!(running.shutdown().await, 0, "it was lost before");
        assert_eq!(collector.requests().len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_collector_that_asks_for_silence_gets_it_until_the_shutdown() {
    let collector = Collector::start().await;
    collector.answer([Answer::Fail(429, &[("retry-after", "3600")]), Answer::Take]);
    let running = Setup::new().to(&collector, Protocol::HttpProtobuf).build();
    running.run(true);
    running.lines.wait_for("\"error_type\":\"rate_limited\"").await;
    let (second, _) = running.run(true);
    // Twenty times the delay after which it would have been sent.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(collector.requests().len(), 1);
    assert_eq!(running.shutdown().await, 0);
    let ids: Vec<_> = collector.spans().iter().map(Received::trace_id).collect();
    assert_eq!(ids, [&*second, &*second]);
}

#[tokio::test]
async fn rejected_spans_count_as_lost() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.answer([Answer::Reject(1)]);
        let recorder = PrometheusBuilder::new().build_recorder();
        let setup = Setup::new().to(&collector, protocol);
        let running = metrics::with_local_recorder(&recorder, || setup.build());
        running.run(true);
        running.lines.wait_for("\"error_type\":\"rejected\"").await;
        assert!(!running.lines.text().contains("secret text"));
        running.shutdown().await;
        let text = recorder.handle().render();
        for line in [
            "otel_sdk_processor_span_processed_total{error_type=\"\"} 2",
            "otel_sdk_exporter_span_exported_total{error_type=\"\"} 1",
            "otel_sdk_exporter_span_exported_total{error_type=\"rejected\"} 1",
            "otel_sdk_processor_span_queue_size 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
    }
}

#[tokio::test]
async fn a_shutdown_leaves_a_hanging_collector_at_its_deadline() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.answer([Answer::Hang]);
        let recorder = PrometheusBuilder::new().build_recorder();
        // An hour for each attempt: only the deadline of the shutdown can end this test.
        let setup = Setup::new()
            .to(&collector, protocol)
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
            .env("OTEL_BSP_EXPORT_TIMEOUT", "3600000");
        let running = metrics::with_local_recorder(&recorder, || setup.build());
        running.run(true);
        collector.wait_for_requests(1).await;
        running.run(true);
        let Running { guard, lines, dispatch } = running;
        let shutdown = guard.shutdown(Duration::from_millis(100));
        assert_eq!(timeout(LONG, shutdown).await.expect("it ends"), 4);
        let text = lines.text();
        assert_eq!(text.matches("spans were lost at shutdown").count(), 1, "{text}");
        assert!(text.contains("\"spans_lost\":4"), "{text}");
        let text = recorder.handle().render();
        for line in [
            "otel_sdk_processor_span_processed_total{error_type=\"shutdown\"} 2",
            "otel_sdk_exporter_span_exported_total{error_type=\"shutdown\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
        drop(dispatch);
    }
}

#[tokio::test]
async fn an_attempt_ends_at_its_timeout() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.answer([Answer::Hang, Answer::Take]);
        let setup = Setup::new().to(&collector, protocol);
        let running = setup.env("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "100").build();
        running.run(true);
        collector.wait_for_spans(2).await;
        assert_eq!(running.shutdown().await, 0);
    }
}

#[tokio::test]
async fn a_connection_that_does_not_answer_is_left_for_another() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let address = collector.behind_a_silent_first_connection(protocol == Protocol::Grpc).await;
        let setup = Setup::new().at(&format!("http://{address}"), protocol);
        let running = setup.env("OTEL_EXPORTER_OTLP_TIMEOUT", "200").build();
        running.run(true);
        collector.wait_for_spans(2).await;
        assert_eq!(running.shutdown().await, 0);
    }
}

#[tokio::test]
async fn a_full_batch_waits_for_no_clock() {
    let collector = Collector::start().await;
    let running = Setup::new()
        .to(&collector, Protocol::Grpc)
        .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
        .build();
    running.run(true);
    running.run(true);
    collector.wait_for_spans(4).await;
    assert_eq!(collector.requests().len(), 1);
    assert_eq!(running.shutdown().await, 0);
}

#[tokio::test]
async fn a_full_queue_drops_whole_traces_and_makes_nobody_wait() {
    let collector = Collector::start().await;
    collector.answer([Answer::Hang, Answer::Take]);
    let recorder = PrometheusBuilder::new().build_recorder();
    let setup = Setup::new()
        .to(&collector, Protocol::Grpc)
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
        .env("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "5")
        .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2");
    let running = metrics::with_local_recorder(&recorder, || setup.build());
    running.run(true);
    collector.wait_for_requests(1).await;
    for _ in 0..1_000 {
        running.run(true);
    }
    let text = recorder.handle().render();
    for line in [
        "otel_sdk_processor_span_queue_size 4",
        "otel_sdk_processor_span_processed_total{error_type=\"queue_full\"} 1996",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
    } // The collector never answers.
    let shutdown = timeout(LONG, running.guard.shutdown(Duration::ZERO));
    assert_eq!(shutdown.await.expect("it ends"), 6);
}
