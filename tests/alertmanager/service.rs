//! The binary and Debian's Alertmanager: from a port that closes to the message that people get.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::support::alertmanager::Alertmanager as Server;
use crate::support::certs::Authority;
use crate::support::daemon::free_port;
use crate::support::peer::http_answer;
use crate::support::service::Service;

/// A check of this port, asked often.
fn tcp(name: &str, port: u16, more: &str) -> String {
    format!(
        "[checks.{name}]\nkind = \"tcp\"\naddress = \"127.0.0.1:{port}\"\ninterval = \"200ms\"\n\
         failure_threshold = 2\n{more}\n"
    )
}

fn config(url: &str, checks: &str) -> String {
    format!(
        "[service]\nname = \"orders\"\ninstance = \"orders-1\"\n[server]\ndrain_delay = \"10ms\"\n\
         [alertmanager]\nurls = [\"{url}\"]\n{checks}"
    )
}

fn listen(port: u16) -> TcpListener {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    // Connections of the listener before may linger.
    socket.set_reuseaddr(true).expect("it is set");
    socket.bind(address).expect("the port");
    socket.listen(64).expect("a listener")
}

#[tokio::test]
async fn an_outage_is_told_ends_with_it_and_with_the_check() {
    let Some(server) = Server::start().await else { return };
    let port = free_port();
    let (kept, db) = (tcp("kept", free_port(), "gates = []"), tcp("db", port, ""));
    let listener = listen(port);
    let service = Service::start(&config(&server.url(), &db)).await;
    service.ready_is(200, r#"{"status":"up","db":"up"}"#).await;
    assert_eq!(server.alerts().await, [Value::Null; 0]);

    drop(listener);
    let alerts = server.alerts_are(&["db"]).await;
    let labels = json!({
        "alertname": "HealthGatingCheckDown", "check": "db", "kind": "tcp",
        "severity": "critical", "service": "orders",
    });
    assert_eq!(alerts[0]["labels"], labels);
    let generator = format!("http://{}/status/db", service.address);
    assert_eq!(alerts[0]["generatorURL"], generator);
    let status = service.status().await;
    let since = status["checks"]["db"]["since"].as_str().expect("a time");
    assert_eq!(alerts[0]["startsAt"], since, "the same moment everywhere");
    let description = alerts[0]["annotations"]["description"].as_str().expect("a text");
    let begins = "The tcp check db fails: connection_refused: ";
    assert!(description.starts_with(begins), "{description}");
    assert!(description.ends_with(" It gates ready. Seen by orders-1."), "{description}");

    let listener = listen(port);
    server.alerts_are(&[]).await;
    let once = ["firing HealthGatingCheckDown of db", "resolved HealthGatingCheckDown of db"];
    server.has_notified(&once).await;

    drop(listener);
    server.alerts_are(&["db"]).await;
    std::fs::write(service.dir.path().join("vitalsign.toml"), config(&server.url(), &kept))
        .expect("the configuration");
    service.signal(Signal::HUP);
    server.alerts_are(&["kept"]).await;
    let page = service.get("/metrics").await.body;
    let posts = "health_alertmanager_posts_total{outcome=\"failure\"} 0\n";
    assert!(page.contains(posts), "{page}");

    service.stop().await;
    server.alerts_are(&["kept"]).await;
    let told = server.notifications();
    assert!(!told.iter().any(|line| line.starts_with("resolved") && line.ends_with("kept")));
}

#[tokio::test]
async fn a_check_behind_one_that_is_down_says_nothing_until_that_is_back() {
    let Some(server) = Server::start().await else { return };
    let vpn_port = free_port();
    // The dependent one goes down at once, the other after several runs.
    let vpn = tcp("vpn", vpn_port, "gates = []").replace("= 2", "= 8");
    let db = tcp("db", free_port(), "gates = []\ndepends_on = [\"vpn\"]").replace("= 2", "= 1");
    let listener = listen(vpn_port);
    let start = config(&server.url(), &vpn);
    let service = Service::start(&start).await;
    let up = |name: &str| format!("/status/{name}");
    service.get_until(&up("vpn"), |answer| answer.body.contains(r#""status":"up""#)).await;
    drop(listener);
    std::fs::write(service.dir.path().join("vitalsign.toml"), format!("{start}{db}"))
        .expect("the configuration");
    service.signal(Signal::HUP);
    service.get_until(&up("db"), |a| a.body.contains(r#""suppressed_by":"vpn""#)).await;
    server.alerts_are(&["vpn"]).await;
    let _listener = listen(vpn_port);
    let alerts = server.alerts_are(&["db"]).await;
    let status = service.status().await;
    assert_eq!(alerts[0]["startsAt"], status["checks"]["db"]["since"], "since it really is down");
    let told = [
        "firing HealthCheckDown of vpn",
        "resolved HealthCheckDown of vpn",
        "firing HealthCheckDown of db",
    ];
    wait_for("three notifications", async || server.notifications().len() >= 3).await;
    let mut said = server.notifications();
    // The last two come from groups of their own, in either order.
    said[1..].sort();
    assert_eq!(said, [told[0], told[2], told[1]]);
}

#[tokio::test]
async fn an_alertmanager_that_comes_late_is_told_and_each_turn_is_logged_once() {
    let port = free_port();
    let url = format!("http://user:hunter2@127.0.0.1:{port}");
    let config = config(&url, &tcp("db", free_port(), "gates = []"));
    let config = format!("{config}[telemetry]\nlog_level = \"trace\"\n");
    let service = Service::start(&config).await;
    let said = |message: &str| {
        let lines = service.log_lines().into_iter();
        lines.filter(|line| line["message"] == message).collect::<Vec<_>>()
    };
    let failed = || async {
        let page = service.get("/metrics").await.body;
        let line = "health_alertmanager_posts_total{outcome=\"failure\"} ";
        let count = page.lines().find_map(|l| l.strip_prefix(line)).map(str::to_owned);
        count.expect("the counter").parse::<u64>().expect("a count")
    };
    wait_for("two failures", async || failed().await >= 2).await;
    let lines = said("alerts are not delivered");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["alertmanager"], format!("http://127.0.0.1:{port}"));
    let Some(started) = Server::start_on(port).await else { return };
    let server = started.expect("the port is still free");
    server.alerts_are(&["db"]).await;
    wait_for("word of it", async || said("alerts are delivered again").len() == 1).await;
    let (status, log) = service.stop().await;
    assert!(status.success(), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn https_is_verified_by_the_systems_authorities() {
    let authority = Authority::new();
    let shown = authority.issue("127.0.0.1").server(None);
    let peer = Peer::https(shown, |_| http_answer("200 OK", "", "")).await;
    let text = config(&format!("https://{}", peer.address), &tcp("db", free_port(), "gates = []"));
    let trusting = Service::start_with(&text, |command| {
        let file = command.get_current_dir().expect("one").join("ca.pem");
        std::fs::write(&file, &authority.pem).expect("a file");
        command.env("SSL_CERT_FILE", file);
    })
    .await;
    assert_eq!(checks(&posted(&peer, 1).await[0]), ["db"]);
    drop(trusting);
    let wary = Service::start_with(&text, |command| {
        let file = command.get_current_dir().expect("one").join("none.pem");
        std::fs::write(&file, "").expect("a file");
        command.env("SSL_CERT_FILE", file);
    })
    .await;
    wait_for("it says so", async || wary.log().contains("alerts are not delivered")).await;
    let log = wary.log();
    assert!(log.contains("the certificate is of an authority that is not trusted"), "{log}");
}
