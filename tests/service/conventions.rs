//! The CLIENT spans of every kind, against the names that OpenTelemetry publishes.

mod brokers;
mod greetings;
mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::net::{TcpListener, UdpSocket};
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

use crate::support::certs::{Authority, file};
use crate::support::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};
use crate::support::mariadb::MariaDb;
use crate::support::named::Named;
use crate::support::otlp::{Collector, Received};
use crate::support::peer::{self, Peer, http_answer};
use crate::support::postgres::Postgres;
use crate::support::service::Service;
use names::{COMMON, RPC_STATUS_CODE, names};

/// How the spans of one run should end: the reason of the failed run, if it is one, and whether
/// the call itself failed by its protocol's own convention.
#[derive(Clone, Copy)]
enum Ends {
    Good,
    Answered(&'static str),
    Failed(&'static str),
}

/// The configuration of the checks and how each of them should end.
#[derive(Default)]
struct Scene {
    config: String,
    ends: BTreeMap<String, (&'static str, Ends)>,
}

impl Scene {
    fn check(&mut self, kind: &'static str, case: &str, ends: Ends, options: &str) {
        let name = format!("{kind}-{case}");
        let _ = write!(self.config, "[checks.{name}]\nkind = \"{kind}\"\n{options}\n");
        self.ends.insert(name, (kind, ends));
    }

    /// Runs each check once and hands over its CLIENT span, after having judged it.
    async fn play(self) -> BTreeMap<String, Received> {
        let collector = Collector::start().await;
        let config = format!(
            "[telemetry]\ntraces_endpoint = \"http://{}\"\nkeep_healthy_traces = 0.0\n\
             [server]\ndrain_delay = \"1ms\"\n[defaults]\ninterval = \"1h\"\ntimeout = \"20s\"\n{}",
            collector.grpc, self.config
        );
        let service = Service::start_with(&config, |command| {
            command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        })
        .await;
        let spans = collector.wait_for_spans(2 * self.ends.len()).await;
        assert_eq!(service.stop().await.0.code(), Some(0));
        let clients = self.ends.into_iter().map(|(name, (kind, ends))| {
            let named = |r: &&Received| r.attribute("health.check.name").as_ref() == Some(&name);
            let root = spans.iter().find(named).unwrap_or_else(|| panic!("no root of {name}"));
            let below = |r: &&Received| r.span.parent_span_id == root.span.span_id;
            let client = spans.iter().find(below).expect("a CLIENT span");
            assert_eq!(client.span.kind(), SpanKind::Client, "{name}");
            judge_end(&name, root, client, ends);
            judge_names(&name, kind, client);
            (name, client.clone())
        });
        clients.collect()
    }
}

fn end_of(span: &Received) -> (StatusCode, Option<String>) {
    let status = span.span.status.clone().unwrap_or_default();
    let error_type = span.attribute(semconv::ERROR_TYPE);
    let words = error_type.as_deref().unwrap_or_default().replace('_', " ");
    assert_eq!(status.message, words, "the reason alone: a message may hold what is secret");
    (status.code(), error_type)
}

fn judge_end(name: &str, root: &Received, client: &Received, ends: Ends) {
    let unset = (StatusCode::Unset, None);
    let error = |reason: &str| (StatusCode::Error, Some(reason.to_owned()));
    let (of_root, of_client) = match ends {
        Ends::Good => (unset.clone(), unset),
        Ends::Answered(reason) => (error(reason), unset),
        Ends::Failed(reason) => (error(reason), error(reason)),
    };
    assert_eq!(end_of(root), of_root, "the root of {name}: {client:?}");
    assert_eq!(end_of(client), of_client, "the client of {name}");
}

fn judge_names(name: &str, kind: &str, client: &Received) {
    let (may, must) = names(kind);
    let carried: Vec<&str> = client.span.attributes.iter().map(|a| &*a.key).collect();
    for key in &carried {
        assert!(COMMON.contains(key) || may.contains(key), "{name} carries {key}");
    }
    for key in must {
        assert!(carried.contains(key), "{name} lacks {key}: {carried:?}");
    }
    let twice = (1..carried.len()).find(|i| carried[..*i].contains(&carried[*i]));
    assert_eq!(twice, None, "{name}: {carried:?}");
    let ports = [semconv::SERVER_PORT, semconv::NETWORK_PEER_PORT];
    for port in client.span.attributes.iter().filter(|a| ports.contains(&&*a.key)) {
        let value = port.value.as_ref().and_then(|v| v.value.clone());
        assert!(matches!(value, Some(Value::IntValue(1..=65_535))), "{name}: {port:?}");
    }
    for phase in &client.span.events {
        let known = ["resolve", "connect", "tls", "request", "transfer"];
        assert!(known.contains(&&*phase.name), "{name}: {phase:?}");
    }
    assert!(client.span.dropped_attributes_count == 0, "{name}");
}

#[tokio::test]
async fn http_and_tcp_follow_the_conventions() {
    let http = Peer::http(|request| match request.split(' ').nth(1).unwrap_or_default() {
        "/missing?key=1" => http_answer("404 Not Found", "", ""),
        "/broken" => http_answer("503 Service Unavailable", "", ""),
        _ => http_answer("200 OK", "", "fine"),
    })
    .await;
    let silent = Peer::start(peer::silent()).await;
    let talking = Peer::start(peer::answering_once("no\n")).await;
    let (_reserved, refusing) = peer::refusing();
    let (mut scene, at) = (Scene::default(), http.address);
    let quick = "interval = \"1h\"\ntimeout = \"300ms\"";
    scene.check("http", "good", Ends::Good, &format!("url = \"http://u:p4ss@{at}/a?key=1\""));
    let missing = format!("url = \"http://u:p4ss@{at}/missing?key=1\"");
    scene.check("http", "404", Ends::Failed("unexpected_status"), &missing);
    let broken = format!("url = \"http://{at}/broken\"");
    scene.check("http", "503", Ends::Failed("unexpected_status"), &broken);
    let body = format!("url = \"http://{at}/\"\nexpect.body_regex = \"never\"");
    scene.check("http", "body", Ends::Answered("unexpected_body"), &body);
    let code = format!("url = \"http://{at}/\"\nexpect.status = [204]");
    scene.check("http", "code", Ends::Answered("unexpected_status"), &code);
    let refused = format!("url = \"http://{refusing}/\"");
    scene.check("http", "refused", Ends::Failed("connection_refused"), &refused);
    let hanging = format!("url = \"http://{}/\"\n{quick}", silent.address);
    scene.check("http", "hanging", Ends::Failed("timeout"), &hanging);
    scene.check("tcp", "good", Ends::Good, &format!("address = \"{at}\""));
    let refused = format!("address = \"{refusing}\"");
    scene.check("tcp", "refused", Ends::Failed("connection_refused"), &refused);
    let other = format!("address = \"{}\"\nsend = \"x\"\nexpect.regex = \"yes\"", talking.address);
    scene.check("tcp", "other", Ends::Answered("unexpected_body"), &other);
    let hanging = format!("address = \"{}\"\nexpect.regex = \"x\"\n{quick}", silent.address);
    scene.check("tcp", "hanging", Ends::Failed("timeout"), &hanging);

    let clients = scene.play().await;
    let said = |name: &str, key| clients[name].attribute(key).expect("the attribute");
    assert_eq!(said("http-good", semconv::URL_FULL), format!("http://{at}/a"));
    assert_eq!(said("http-404", semconv::URL_FULL), format!("http://{at}/missing"));
    assert_eq!(said("http-good", semconv::HTTP_REQUEST_METHOD), "GET");
    assert_eq!(said("http-404", semconv::HTTP_RESPONSE_STATUS_CODE), "IntValue(404)");
    assert_eq!(clients["http-good"].span.name, "GET");
    let phases = |name: &str| -> Vec<_> {
        clients[name].span.events.iter().map(|e| e.name.clone()).collect()
    };
    assert_eq!(phases("http-good"), ["connect", "request", "transfer"]);
}

#[tokio::test]
async fn tls_and_dns_follow_the_conventions() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let server = |config| Peer::https(config, |_| http_answer("200 OK", "", ""));
    let good = server(authority.issue("localhost").server(None)).await;
    let strange = server(Authority::new().issue("localhost").server(None)).await;
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    let asked =
        |port: u16| format!("address = \"localhost:{port}\"\ntls.ca = \"{}\"", ca.path().display());
    scene.check("tls", "good", Ends::Good, &asked(good.address.port()));
    let ending = server(authority.issue_for_days("localhost", -1..40).server(None)).await;
    let near = asked(ending.address.port()) + "\nwarn_before = \"60d\"";
    scene.check("tls", "near", Ends::Good, &near);
    let strange = asked(strange.address.port());
    scene.check("tls", "strange", Ends::Failed("tls_untrusted"), &strange);
    scene.check("tls", "refused", Ends::Failed("connection_refused"), &asked(refusing.port()));
    let named = Named::start("db IN A 10.0.0.7").await;
    if let Some(named) = &named {
        let asked = |name: &str, more: &str| {
            format!("name = \"{name}\"\nresolver = \"{}\"\n{more}", named.resolver())
        };
        scene.check("dns", "good", Ends::Good, &asked("db.orders.test", ""));
        let contains = asked("db.orders.test", "expect.contains = \"10.0.0.8\"");
        scene.check("dns", "other", Ends::Answered("unexpected_body"), &contains);
    }
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let hanging = format!(
        "name = \"db.orders.test\"\nresolver = \"{}\"\ninterval = \"1h\"\ntimeout = \"300ms\"",
        silent.local_addr().expect("its address")
    );
    scene.check("dns", "hanging", Ends::Failed("timeout"), &hanging);

    let clients = scene.play().await;
    let said = |name: &str, key| clients[name].attribute(key);
    assert_eq!(said("tls-good", semconv::TLS_PROTOCOL_NAME).as_deref(), Some("tls"));
    assert_eq!(said("tls-strange", semconv::SERVER_ADDRESS).as_deref(), Some("localhost"));
    let question = said("dns-hanging", semconv::DNS_QUESTION_NAME);
    assert_eq!(question.as_deref(), Some("db.orders.test"));
    assert_eq!(said("dns-hanging", semconv::NETWORK_TRANSPORT).as_deref(), Some("udp"));
}

#[tokio::test]
async fn a_check_that_calls_nobody_has_no_client_span() {
    let collector = Collector::start().await;
    let config = format!(
        "[telemetry]\ntraces_endpoint = \"http://{}\"\nkeep_healthy_traces = 1.0\n\
         [server]\ndrain_delay = \"1ms\"\n[checks.disk]\nkind = \"disk\"\npath = \"/\"\n\
         min_free = \"0%\"\ninterval = \"1h\"\n",
        collector.grpc
    );
    let service = Service::start_with(&config, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    })
    .await;
    collector.wait_for_spans(1).await;
    assert_eq!(service.stop().await.0.code(), Some(0));
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(
        (spans[0].span.kind(), &*spans[0].span.name),
        (SpanKind::Internal, "health.check disk")
    );
}

#[tokio::test]
async fn grpc_follows_the_conventions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("its address");
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("resting", ServingStatus::NotServing).await;
    let server = tonic::transport::Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    scene.check("grpc", "good", Ends::Good, &format!("address = \"{at}\""));
    let resting = format!("address = \"{at}\"\nservice = \"resting\"");
    scene.check("grpc", "resting", Ends::Answered("not_serving"), &resting);
    let missing = format!("address = \"{at}\"\nservice = \"missing\"");
    scene.check("grpc", "missing", Ends::Failed("not_serving"), &missing);
    let refused = format!("address = \"{refusing}\"");
    scene.check("grpc", "refused", Ends::Failed("connection_refused"), &refused);

    let clients = scene.play().await;
    let said = |name: &str, key| clients[name].attribute(key);
    assert_eq!(said("grpc-good", semconv::RPC_SYSTEM_NAME).as_deref(), Some("grpc"));
    let method = said("grpc-good", semconv::RPC_METHOD);
    assert_eq!(method.as_deref(), Some("grpc.health.v1.Health/Check"));
    let status = RPC_STATUS_CODE;
    assert_eq!(said("grpc-resting", status).as_deref(), Some("OK"));
    assert_eq!(said("grpc-missing", status).as_deref(), Some("NOT_FOUND"));
    assert_eq!(said("grpc-refused", status), None);
}

#[tokio::test]
async fn databases_follow_the_conventions() {
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    let mut systems = BTreeMap::from([("sqlite-good", "sqlite")]);
    let postgres = Postgres::start().await;
    if let Some(server) = &postgres {
        let url = server.url();
        cases_of_sql(&mut scene, "postgres", &url, &url.replace("@127", "x@127"));
        systems.insert("postgres-good", "postgresql");
    }
    let mariadb = MariaDb::start().await;
    if let Some(server) = &mariadb {
        let url = server.url();
        cases_of_sql(&mut scene, "mysql", &url, &url.replace("@127", "x@127"));
        systems.insert("mysql-good", "mysql");
    }
    for (kind, path) in [("postgres", "/app"), ("mysql", "/app"), ("redis", "")] {
        let refused = format!("url = \"{kind}://u:hunter2@{refusing}{path}\"");
        scene.check(kind, "refused", Ends::Failed("connection_refused"), &refused);
    }
    scene.check("sqlite", "good", Ends::Good, "path = \"own.db\"\ncreate = true");
    let rows = "path = \"own.db\"\ncreate = true\nexpect.rows = 7";
    scene.check("sqlite", "rows", Ends::Answered("unexpected_body"), rows);
    let query = "path = \"own.db\"\ncreate = true\nquery = \"SELECT x FROM nothing\"";
    scene.check("sqlite", "query", Ends::Failed("query_failed"), query);
    let redis = redis().await;
    if let Some((_, port)) = &redis {
        scene.check("redis", "good", Ends::Good, &format!("url = \"redis://127.0.0.1:{port}\""));
        let role = format!("url = \"redis://127.0.0.1:{port}\"\nexpect.role = \"replica\"");
        scene.check("redis", "role", Ends::Answered("unexpected_status"), &role);
        let denied = format!("url = \"redis://u:hunter2@127.0.0.1:{port}\"");
        scene.check("redis", "denied", Ends::Failed("auth_failed"), &denied);
        systems.insert("redis-good", "redis");
    }

    let clients = scene.play().await;
    for (name, system) in systems {
        let said = clients[name].attribute(semconv::DB_SYSTEM_NAME);
        assert_eq!(said.as_deref(), Some(system), "{name}");
    }
    let all = format!("{clients:?}");
    assert!(!all.contains("hunter2") && !all.contains("Pa55word"), "{all}");
}

/// A good run, one of an answer that is not expected, and two that the server refuses.
fn cases_of_sql(scene: &mut Scene, kind: &'static str, url: &str, wrong: &str) {
    scene.check(kind, "good", Ends::Good, &format!("url = \"{url}\""));
    let rows = format!("url = \"{url}\"\nexpect.rows = 7");
    scene.check(kind, "rows", Ends::Answered("unexpected_body"), &rows);
    let query = format!("url = \"{url}\"\nquery = \"SELECT x FROM nothing\"");
    scene.check(kind, "query", Ends::Failed("query_failed"), &query);
    scene.check(kind, "denied", Ends::Failed("auth_failed"), &format!("url = \"{wrong}\""));
}

/// A Redis on this port for as long as the value lives, with its directory.
async fn redis() -> Option<((Daemon, tempfile::TempDir), u16)> {
    const SERVER: &str = "/usr/bin/redis-server";
    if !std::path::Path::new(SERVER).exists() {
        left_out("redis-server");
        return None;
    }
    let (user, dir, port) = (User::named("redis"), server_dir(), free_port());
    user.own(dir.path());
    let mut command = user.command(SERVER);
    command.current_dir(dir.path()).args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(["--port", &port.to_string()]);
    let mut daemon = Daemon::start(command, &dir.path().join("log"));
    wait_for("Redis to listen", async || {
        assert!(daemon.runs(), "Redis does not start");
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
    Some(((daemon, dir), port))
}
