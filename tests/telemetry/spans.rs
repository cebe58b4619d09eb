//! Which spans arrive, and what they carry.

use super::*;

#[tokio::test]
async fn a_kept_trace_arrives_whole_over_both_protocols() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let running = Setup::new().to(&collector, protocol).build();
        let (id, _) = running.run(true);
        let spans = collector.wait_for_spans(2).await;
        let (call, root) = (&spans[0], &spans[1]);
        assert_eq!([&*call.span.name, &*root.span.name], ["connect", "health.check tcp"]);
        assert_eq!([call.trace_id(), root.trace_id()], [&*id, &*id]);
        assert_eq!(call.span.parent_span_id, root.span.span_id);
        assert!(root.span.parent_span_id.is_empty());
        for span in &spans {
            assert_eq!(span.span.flags & 1, 1, "it is exported as sampled");
            assert_eq!(span.attribute(KEEP), None);
            assert_eq!(span.schemas, [SCHEMA_URL; 2]);
            assert!(span.span.events.is_empty(), "a log line is no event of a span");
            for (key, value) in [
                ("service.name", "orders"),
                ("service.version", "1.4.2"),
                ("service.instance.id", "orders-1"),
                ("deployment.environment.name", "production"),
                ("telemetry.sdk.language", "rust"),
                ("telemetry.sdk.name", "opentelemetry"),
            ] {
                assert_eq!(span.resource(key).as_deref(), Some(value), "{key}");
            }
        }
        assert_eq!(running.shutdown().await, 0);
    }
}

#[tokio::test]
async fn an_ordinary_trace_is_dropped_whole() {
    let collector = Collector::start().await;
    let running = Setup::new().to(&collector, Protocol::Grpc).build();
    running.run(false);
    let (kept, _) = running.run(true);
    assert_eq!(running.shutdown().await, 0);
    let ids: Vec<_> = collector.spans().iter().map(Received::trace_id).collect();
    assert_eq!(ids, [&*kept, &*kept]);
}

#[tokio::test]
async fn the_share_decides_what_the_dependency_is_told() {
    for (share, flag, arriving) in [(0.0, "-00", 0), (1.0, "-01", 2)] {
        let collector = Collector::start().await;
        let running = Setup::new().share(share).to(&collector, Protocol::Grpc).build();
        let (id, traceparent) = running.run(false);
        let traceparent = traceparent.expect("one is sent");
        assert!(traceparent.contains(&id) && traceparent.ends_with(flag), "{traceparent}");
        running.shutdown().await;
        assert_eq!(collector.spans().len(), arriving);
    }
}

#[tokio::test]
async fn without_a_collector_runs_still_have_ids_and_send_them() {
    let running = Setup::new().build();
    let (id, traceparent) = running.run(true);
    assert_ne!(id, "0".repeat(32));
    assert!(traceparent.is_some_and(|sent| sent.contains(&id)));
    assert_eq!(running.shutdown().await, 0);
}

#[tokio::test]
async fn a_disabled_sdk_makes_no_ids() {
    let collector = Collector::start().await;
    let setup = Setup::new().to(&collector, Protocol::Grpc).env("OTEL_SDK_DISABLED", "True");
    let running = setup.env("OTEL_SERVICE_NAME", "named").build();
    let (id, traceparent) = running.run(true);
    assert_eq!((id, traceparent), ("0".repeat(32), None));
    assert_eq!(running.guard.service_name(), "named");
    running.shutdown().await;
    assert!(collector.requests().is_empty());
}

#[tokio::test]
async fn a_sampler_variable_takes_the_place_of_the_share() {
    for (sampler, argument, share, arriving) in [
        ("always_on", "", 0.0, 2),
        ("parentbased_always_on", "", 0.0, 2),
        ("traceidratio", "1", 0.0, 2),
        ("parentbased_traceidratio", "0", 1.0, 0),
        ("traceidratio", "", 0.0, 2),
        ("parentbased_always_off", "", 1.0, 0),
    ] {
        let collector = Collector::start().await;
        let setup = Setup::new().share(share).to(&collector, Protocol::HttpProtobuf);
        let running = setup
            .env("OTEL_TRACES_SAMPLER", sampler)
            .env("OTEL_TRACES_SAMPLER_ARG", argument)
            .build();
        running.run(false);
        running.shutdown().await;
        assert_eq!(collector.spans().len(), arriving, "{sampler} {argument}");
    }
}

#[tokio::test]
async fn always_off_keeps_not_even_a_failure() {
    let collector = Collector::start().await;
    let setup = Setup::new().share(1.0).to(&collector, Protocol::Grpc);
    let running = setup.env("OTEL_TRACES_SAMPLER", "always_off").build();
    running.run(true);
    running.shutdown().await;
    assert!(collector.requests().is_empty());
}

#[tokio::test]
async fn no_propagator_sends_no_context() {
    let running = Setup::new().env("OTEL_PROPAGATORS", "none").build();
    assert_eq!(running.run(true).1, None);
    let running = Setup::new().env("OTEL_PROPAGATORS", "baggage").build();
    assert_eq!(running.run(true).1, None);
    let running = Setup::new().env("OTEL_PROPAGATORS", "tracecontext").build();
    assert!(running.run(true).1.is_some());
}

#[tokio::test]
async fn limits_on_a_span_are_kept() {
    let collector = Collector::start().await;
    let setup = Setup::new().to(&collector, Protocol::Grpc);
    let running = setup
        .env("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
        .env("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
        .build();
    with_default(&running.dispatch, || {
        let root = tracing::info_span!(target: TARGET, parent: None, "root");
        for key in ["a", "b"] {
            root.set_attribute(key, 1);
            root.add_event(key, Vec::new());
        }
        root.set_attribute(KEEP, true);
    });
    running.shutdown().await;
    let span = collector.spans().remove(0).span;
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (1, 1));
    assert_eq!((span.events.len(), span.dropped_events_count), (1, 1));
}
