//! `examples/actix.rs` and `examples/tonic.rs`: the same state behind other servers than axum.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::support::example::Example;

const UP: &str = r#"{"status":"up","cache":"up"}"#;
const DOWN: &str = r#"{"status":"down","cache":"down"}"#;

/// What the examples ask: a port that is kept throughout, and listened on for a while at a time.
struct Cache {
    address: SocketAddr,
    _kept: TcpSocket,
}

impl Cache {
    fn new() -> Self {
        let kept = bound("127.0.0.1:0".parse().expect("an address"));
        Self { address: kept.local_addr().expect("its address"), _kept: kept }
    }

    fn start(&self) -> TcpListener {
        bound(self.address).listen(64).expect("to listen")
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("to share the port");
    socket.bind(address).expect("to bind");
    socket
}

#[tokio::test]
async fn actix_answers_as_the_routes_would() {
    let cache = Cache::new();
    let listening = cache.start();
    let example = Example::start("actix", &[("CACHE", &cache.address.to_string())]);
    example.ready_is(200, UP).await;
    let ready = example.get("/ready").await;
    assert_eq!(ready.header("content-type"), Some("application/json"));
    assert_eq!(ready.header("cache-control"), Some("no-store"));
    assert_eq!(example.get("/startup").await.status, 200);
    assert_eq!(example.get("/orders").await.body, "0 orders\n");

    drop(listening);
    example.ready_is(503, DOWN).await;
    let health = example.get("/health").await;
    assert_eq!((health.status, &*health.body), (200, r#"{"status":"up"}"#));
    let metrics = example.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let series = "health_check_up{check=\"cache\",kind=\"function\"} 0\n";
    assert!(metrics.body.contains(series), "{}", metrics.body);

    let _listening = cache.start();
    example.ready_is(200, UP).await;
    example.terminate();
    example.ready_is(503, r#"{"status":"draining","cache":"up"}"#).await;
    assert_eq!(example.get("/orders").await.body, "0 orders\n", "it serves on meanwhile");
    assert!(example.ended().await.success());
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn tonic_answers_by_the_health_protocol() {
    use vitalsign::Reason;

    use crate::support::checks::{PATIENT, ask, check};
    use crate::support::daemon::wait_for;

    let cache = Cache::new();
    let listening = cache.start();
    let example = Example::start("tonic", &[("CACHE", &cache.address.to_string())]);
    let says = async |service: &str, wanted: Result<(), Reason>| {
        let options = format!("address = '{}'\nservice = '{service}'", example.address);
        let check = check("grpc", &options);
        wait_for(&format!("`{service}` to be {wanted:?}"), async || {
            ask(&*check, PATIENT).await.map(drop).map_err(|failure| failure.reason()) == wanted
        })
        .await;
    };
    for service in ["", "cache", "orders.v1.Orders"] {
        says(service, Ok(())).await;
    }
    drop(listening);
    for service in ["", "cache", "orders.v1.Orders"] {
        says(service, Err(Reason::NotServing)).await;
    }
    let _listening = cache.start();
    says("", Ok(())).await;
    example.terminate();
    says("", Err(Reason::NotServing)).await;
    says("cache", Ok(())).await;
    assert!(example.ended().await.success());
}
