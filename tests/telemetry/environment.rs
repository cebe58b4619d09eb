//! The standard variables win over the file, or are refused.

use rustls::ServerConfig;

use super::*;
use crate::support::certs::{Authority, Identity};
use crate::support::openssl::{NAMES, OpenSsl};

#[tokio::test]
async fn variables_win_over_the_file() {
    let collector = Collector::start().await;
    let setup = Setup::new().at("http://127.0.0.1:9", Protocol::Grpc);
    let running = setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}/base/", collector.http))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=a, deployment.environment.name=b%2Cc,d=e")
        .build();
    assert_eq!(running.guard.service_name(), "a");
    running.run(true);
    assert_eq!(running.shutdown().await, 0);
    let request = &collector.requests()[0];
    assert_eq!(request.path, "/base/v1/traces");
    assert_eq!(request.headers["content-encoding"], "gzip");
    let span = &collector.spans()[0];
    assert_eq!(span.resource("service.name").as_deref(), Some("a"));
    assert_eq!(span.resource("deployment.environment.name").as_deref(), Some("b,c"));
    assert_eq!(span.resource("service.version").as_deref(), Some("1.4.2"));
    assert_eq!(span.resource("d").as_deref(), Some("e"));
}

#[tokio::test]
async fn variables_for_traces_win_over_those_for_every_signal() {
    let collector = Collector::start().await;
    let running = Setup::new()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("http://{}/as/is", collector.http))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=general")
        .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-key=a%20b,X-Other = 1")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=a")
        .env("OTEL_SERVICE_NAME", "wins")
        .build();
    running.run(true);
    assert_eq!(running.shutdown().await, 0);
    let request = &collector.requests()[0];
    assert_eq!(request.path, "/as/is");
    assert_eq!(request.headers["x-key"], "a b");
    assert_eq!(request.headers["x-other"], "1");
    assert_eq!(collector.spans()[0].resource("service.name").as_deref(), Some("wins"));
}

#[tokio::test]
async fn grpc_takes_headers_compression_and_a_bare_address() {
    let collector = Collector::start().await;
    let running = Setup::new()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.grpc.to_string())
        .env("OTEL_EXPORTER_OTLP_INSECURE", "true")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=value")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .build();
    running.run(true);
    assert_eq!(running.shutdown().await, 0);
    let request = &collector.requests()[0];
    assert_eq!(request.headers["x-key"], "value");
    assert_eq!(request.headers["grpc-encoding"], "gzip");
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn an_endpoint_alone_means_http_with_protobuf() {
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
        let collector = Collector::start().await;
        let path = if name.contains("TRACES") { "/v1/traces" } else { "" };
        let running = Setup::new().env(name, &format!("http://{}{path}", collector.http)).build();
        running.run(true);
        assert_eq!(running.shutdown().await, 0, "{name}");
        assert_eq!(collector.requests()[0].path, "/v1/traces", "{name}");
    }
    // The protocol of the file is one that somebody chose.
    let collector = Collector::start().await;
    let setup = Setup::new().at("http://127.0.0.1:9", Protocol::Grpc);
    let running =
        setup.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.grpc)).build();
    running.run(true);
    assert_eq!(running.shutdown().await, 0);
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn an_endpoint_of_the_file_alone_means_grpc() {
    let collector = Collector::start().await;
    let mut setup = Setup::new();
    setup.settings.traces_endpoint = Some(format!("http://{}", collector.grpc).parse().unwrap());
    let running = setup.build();
    running.run(true);
    assert_eq!(running.shutdown().await, 0);
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn without_a_delay_each_trace_is_sent_at_once() {
    let collector = Collector::start().await;
    let setup = Setup::new().to(&collector, Protocol::Grpc).env("OTEL_BSP_SCHEDULE_DELAY", "0");
    let running = setup.build();
    for count in 1..=3 {
        running.run(true);
        collector.wait_for_requests(count).await;
    }
    assert_eq!(running.shutdown().await, 0);
}

#[tokio::test]
async fn an_exporter_of_none_sends_nothing() {
    let collector = Collector::start().await;
    let setup = Setup::new().to(&collector, Protocol::Grpc).env("OTEL_TRACES_EXPORTER", "none");
    let running = setup.build();
    running.run(true);
    running.shutdown().await;
    assert!(collector.requests().is_empty());
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let base = || {
        Setup::new()
            .at("http://127.0.0.1:9", Protocol::HttpProtobuf)
            .env("OTEL_TRACES_SAMPLER", "traceidratio")
    };
    assert!(base().read().is_ok());
    for (name, value, message) in [
        ("OTEL_SDK_DISABLED", "1", "\"1\" is not supported; use true or false"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "\"zipkin\" is not supported; use otlp or none"),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "\"http/json\" is not supported; use grpc or http/protobuf",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "not an http or https URL; use one such as http://127.0.0.1:4317",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://me:hunter2@collector",
            "holds credentials; put them in OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=b,hunter2",
            "entry 2 is no pair; use key=value,key=value with special characters as %XX",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=hunter2%0A",
            "entry 1 is no pair; use key=value,key=value with special characters as %XX",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10s",
            "\"10s\" is not supported; use a number of milliseconds above zero, such as 5000",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "\"zstd\" is not supported; use gzip or none"),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/nowhere.pem",
            "\"/nowhere.pem\" cannot be read: No such file or directory (os error 2); name a readable file",
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "\"jaeger_remote\" is not supported; use always_on, always_off, traceidratio or one of them after parentbased_",
        ),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "\"2\" is not supported; use a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN", "\"NaN\" is not supported; use a number from 0 to 1"),
        (
            "OTEL_PROPAGATORS",
            "tracecontext,b3",
            "\"b3\" is not supported; use a list of tracecontext and baggage, or none",
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a",
            "entry 1 is no pair; use key=value,key=value with special characters as %XX",
        ),
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            "-1",
            "\"-1\" is not supported; use a number of milliseconds, such as 5000",
        ),
        (
            "OTEL_BSP_EXPORT_TIMEOUT",
            "0",
            "\"0\" is not supported; use a number of milliseconds above zero, such as 5000",
        ),
        (
            "OTEL_CONFIG_FILE",
            "/etc/otel.yaml",
            "a file in place of the variables is not read; unset it, and use the OTEL_* variables or [telemetry] of the configuration",
        ),
        (
            "OTEL_EXPERIMENTAL_CONFIG_FILE",
            "/etc/otel.yaml",
            "a file in place of the variables is not read; unset it, and use the OTEL_* variables or [telemetry] of the configuration",
        ),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999", "more than the queue holds; use 2048 at most"),
        (
            "OTEL_SPAN_EVENT_COUNT_LIMIT",
            "many",
            "\"many\" is not supported; use a whole number above zero",
        ),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "10", "attribute values are never cut; unset it"),
    ] {
        let error = base().env(name, value).read().unwrap_err();
        assert_eq!(error, format!("{name}: {message}"));
        assert!(!error.contains("hunter2"));
        assert!(base().env(name, " ").read().is_ok(), "an empty {name} is unset");
    }
}

#[test]
fn grpc_takes_no_path() {
    let error = Setup::new().at("http://127.0.0.1:9/v1", Protocol::Grpc).read().unwrap_err();
    assert_eq!(
        error,
        "traces_endpoint: gRPC takes no path; use the scheme, the host and the port alone"
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let setup = Setup::new().env("RUST_LOG", "info,=").env("OTEL_PROPAGATORS", "x,y").share(7.0);
    let error = setup.read().unwrap_err();
    let lines: Vec<_> = error.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["OTEL_PROPAGATORS", "OTEL_PROPAGATORS", "keep_healthy_traces", "RUST_LOG"]);
}

#[tokio::test]
async fn a_collector_behind_tls_is_trusted_by_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let (address, pem) = collector.behind_tls(protocol == Protocol::Grpc).await;
        std::fs::write(&ca, pem).unwrap();
        let url = format!("https://localhost:{}", address.port());
        let setup = Setup::new().at(&url, protocol);
        let running = setup.env("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap()).build();
        running.run(true);
        collector.wait_for_spans(2).await;
        assert_eq!(running.shutdown().await, 0);
    }
}

/// As every kind of check trusts them: a certificate that is its own authority, one of an authority
/// with P-521, and a file that begins with a byte order mark.
#[tokio::test]
async fn a_collector_is_trusted_as_checks_trust() {
    let Some(openssl) = OpenSsl::new() else { return };
    openssl.self_signed("own", "rsa:2048", &format!("-subj /CN=localhost -addext {NAMES}"));
    openssl.self_signed("p521", "ec -pkeyopt ec_paramgen_curve:secp521r1", "-subj /CN=CA");
    openssl.issue("leaf", "ec -pkeyopt ec_paramgen_curve:prime256v1", "p521", &[NAMES], "");
    let marked = format!("\u{feff}{}", openssl.read("own.pem"));
    std::fs::write(openssl.path("marked.pem"), marked).unwrap();
    for (name, ca) in [("own", "own"), ("own", "marked"), ("leaf", "p521")] {
        let [cert, key] = ["pem", "key"].map(|end| openssl.read(&format!("{name}.{end}")));
        let identity = Identity { cert, key };
        let ca = openssl.path(&format!("{ca}.pem"));
        for protocol in PROTOCOLS {
            let collector = Collector::start().await;
            let config = ServerConfig::clone(&identity.server(None));
            let address = collector.behind(config, protocol == Protocol::Grpc).await;
            let setup = Setup::new().at(&format!("https://localhost:{}", address.port()), protocol);
            let running = setup.env("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap()).build();
            running.run(true);
            collector.wait_for_spans(2).await;
            assert_eq!(running.shutdown().await, 0, "{name} {ca:?} {protocol:?}");
        }
    }
}

#[tokio::test]
async fn a_collector_that_wants_a_certificate_of_its_clients_is_shown_one() {
    let directory = tempfile::tempdir().unwrap();
    let kept = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (servers, clients) = (Authority::new(), Authority::new());
    let client = clients.issue("vitalsign");
    let ca = kept("ca.pem", &servers.pem);
    let (cert, key) = (kept("cert.pem", &client.cert), kept("key.pem", &client.key));
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let config = ServerConfig::clone(&servers.issue("localhost").server(Some(&clients)));
        let address = collector.behind(config, protocol == Protocol::Grpc).await;
        let url = format!("https://localhost:{}", address.port());
        let setup = Setup::new().at(&url, protocol).env("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca);
        let stranger = setup.build();
        stranger.run(true);
        assert_eq!(stranger.shutdown().await, 2, "{protocol:?}: both spans of the run are lost");
        assert!(collector.spans().is_empty());

        let known = setup
            .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &cert)
            .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key)
            .build();
        known.run(true);
        collector.wait_for_spans(2).await;
        assert_eq!(known.shutdown().await, 0);
    }
}
