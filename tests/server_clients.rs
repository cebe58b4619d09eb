//! The listening server against what real clients and balancers send.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpStream;
use vitalsign::Health;
use vitalsign::http::{App, Server};

use crate::support::http::{Answer, Client};
use crate::support::stage::{LONG, Running, patient, quick, recorder, rejected, router, stage};

fn app() -> (Health, App) {
    let health = Health::builder("orders").build().expect("no checks");
    (health.clone(), health.into_app())
}

/// Whether an answer is a problem with the headers that every answer carries.
fn is_problem(answer: &Answer) -> bool {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    answer.header("content-type") == Some("application/problem+json")
        && answer.header("cache-control") == Some("no-store")
        && answer.header("x-content-type-options") == Some("nosniff")
        && body["status"] == answer.status
        && body["detail"].is_string()
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    for (request, body) in [
        ("GET / HTTP/1.1\r\nhost: test\r\n\r\n", "hello"),
        ("GET / HTTP/1.0\r\n\r\n", "hello"),
        ("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nthere", "there"),
        (
            "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nthere\r\n0\r\n\r\n",
            "there",
        ),
        ("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n", "waited"),
    ] {
        let mut client = Client::connect(running.address).await;
        client.send(request).await;
        client.end_sending().await;
        if body == "waited" {
            waiting.recv().await;
            // The server has seen the end by the time that another client is answered.
            Client::connect(running.address).await.get("/").await;
            stage.release.add_permits(1);
        }
        assert_eq!(client.answer().await.expect("an answer").body, body, "{request}");
        assert_eq!(client.closed().await, 0, "{request}");
    }
    let mut client = Client::connect(running.address).await;
    client.get("/").await;
    client
        .send("GET / HTTP/1.1\r\nhost: test\r\n\r\nGET /peer HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    client.end_sending().await;
    assert_eq!(client.answer().await.expect("an answer").body, "hello");
    assert_eq!(client.answer().await.expect("an answer").body, "127.0.0.1");
    assert_eq!(running.stop().await.requests_cut, 0);
}

/// A body and the end of sending that arrive at once, after the head was read.
#[tokio::test]
async fn the_end_of_sending_may_come_with_the_last_of_a_body() {
    let running = Running::start(patient(), router(&stage().0)).await;
    for (head, body) in [
        ("content-length: 5", "there"),
        ("transfer-encoding: chunked", "5\r\nthere\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "2\r\nth\r\n3\r\nere\r\n0\r\nx: y\r\n\r\n"),
    ] {
        for _ in 0..20 {
            let mut client = Client::connect(running.address).await;
            client.send(format!("POST /echo HTTP/1.1\r\nhost: test\r\n{head}\r\n\r\n")).await;
            // The server has read the head by the time that another client is answered.
            Client::connect(running.address).await.get("/").await;
            client.send(body).await;
            client.end_sending().await;
            let answer = client.answer().await.unwrap_or_else(|| panic!("no answer to {body:?}"));
            assert_eq!(answer.body, "there", "{body:?}");
            assert_eq!(client.closed().await, 0, "{body:?}");
        }
    }
    assert_eq!(running.stop().await.requests_cut, 0);
}

#[tokio::test]
async fn a_request_that_is_cut_short_is_not_waited_for() {
    let running = Running::start(patient(), router(&stage().0)).await;
    for request in [
        "",
        "GET / HTT",
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhe",
        "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
    ] {
        let mut client = Client::connect(running.address).await;
        client.send(request).await;
        client.end_sending().await;
        client.closed().await;
    }
    assert_eq!(running.stop().await.requests_cut, 0);
}

#[tokio::test]
async fn an_event_stream_is_sent_to_a_half_closed_client_as_far_as_it_is_ready() {
    let (_health, app) = app();
    let running = Running::start(patient(), app).await;
    let mut client = Client::connect(running.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.end_sending().await;
    assert_eq!(client.head().await.expect("it begins").status, 200);
    let mut events = String::new();
    while !events.contains("event: summary") {
        events += &client.chunk().await.expect("it comes").expect("and has no end");
    }
    client.closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_a_head_may_take() {
    let server = quick().idle_timeout(LONG);
    let running = Running::start(server, router(&stage().0)).await;
    let mut kept = Client::connect(running.address).await;
    assert_eq!(kept.get("/").await.body, "hello");
    let mut slow = Client::connect(running.address).await;
    assert_eq!(slow.get("/").await.body, "hello");
    // Silent connections one after the other are a clock that runs at the server's own pace.
    for _ in 0..3 {
        Client::connect(running.address).await.closed().await;
    }
    assert_eq!(kept.get("/").await.body, "hello");
    slow.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(slow.closed().await, 0, "a head that has begun is due");

    let server = Server::new().header_timeout(LONG).idle_timeout(Duration::from_millis(100));
    let running = Running::start(server, router(&stage().0)).await;
    let mut idle = Client::connect(running.address).await;
    idle.get("/").await;
    assert_eq!(idle.closed().await, 0);
}

#[tokio::test]
async fn what_the_protocol_refuses_is_a_problem_with_our_headers() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(patient(), router(&stage().0)).await;
    let good = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let large = format!("GET / HTTP/1.1\r\nhost: test\r\nx: {}", "y".repeat(100_000));
    let long = format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "y".repeat(66_000));
    for (bad, status) in [
        ("no request at all\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET \u{7f}\u{7f} HTTP/1.1\r\n\r\n", 400),
        (&*large, 431),
        (&*long, 431),
    ] {
        let what = &bad[..bad.len().min(40)];
        for before in [0, 2] {
            let mut client = Client::connect(running.address).await;
            for _ in 0..before {
                assert_eq!(client.get("/").await.body, "hello");
            }
            client.send(bad).await;
            let answer = client.answer().await.expect("an answer");
            // A target beyond 64 KiB is 414 where the limit of the head leaves room for it.
            assert!(answer.status == status || answer.status == 414, "{what}: {answer:?}");
            assert!(is_problem(&answer), "{what}: {answer:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{what}");
            assert!(answer.header("date").is_some(), "{what}");
            assert_eq!(client.closed().await, 0, "{what}");
        }
    }
    let mut pipelined = Client::connect(running.address).await;
    pipelined.send(format!("{good}nonsense\r\n\r\n")).await;
    assert_eq!(pipelined.answer().await.expect("an answer").body, "hello");
    assert!(is_problem(&pipelined.answer().await.expect("an answer")));
    assert_eq!(running.stop().await.requests_cut, 0);
    assert_eq!(rejected(&metrics), ["head_too_large 4", "malformed 9"]);
}

#[tokio::test]
async fn an_answer_of_a_handler_is_never_taken_for_a_refusal_of_the_protocol() {
    let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let app = router(&stage().0)
        .route("/bare", get(|| async { axum::http::StatusCode::BAD_REQUEST }))
        .route("/quoted", get(move || async move { bare }));
    let running = Running::start(patient(), app).await;
    let mut client = Client::connect(running.address).await;
    for _ in 0..2 {
        let answer = client.get("/bare").await;
        assert_eq!((answer.status, answer.header("content-length")), (400, Some("0")));
        assert_eq!(answer.header("content-type"), None);
        assert_eq!(client.get("/quoted").await.body, bare);
        let head =
            format!("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", bare.len());
        client.send(head).await;
        client.send(bare).await;
        assert_eq!(client.answer().await.expect("an answer").body, bare);
    }
}

#[tokio::test]
async fn while_the_service_drains_each_answer_closes_its_connection() {
    let (health, app) = app();
    let running = Running::start(patient(), app).await;
    let mut before = Client::connect(running.address).await;
    assert_eq!(before.get("/ready").await.header("connection"), None);
    health.drain();
    assert_eq!(before.get("/ready").await.header("connection"), Some("close"));
    assert_eq!(before.closed().await, 0);
    for path in ["/health", "/ready?verbose", "/status", "/metrics", "/", "/nothing", "/startupz"] {
        let mut client = Client::connect(running.address).await;
        let answer = client.get(path).await;
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
        assert_eq!(client.closed().await, 0, "{path}");
    }
    let verbose = Client::connect(running.address).await.get("/ready?verbose").await;
    let text = "draining: the service is stopping\nready check failed\n";
    assert_eq!((verbose.status, verbose.body.as_str()), (503, text));
}

#[tokio::test]
async fn several_slashes_count_as_one() {
    let running = Running::start(patient(), app().1).await;
    let mut client = Client::connect(running.address).await;
    for (path, status) in [
        ("//ready", 200),
        ("///ready", 200),
        ("///ready?verbose", 200),
        ("//health//", 404),
        ("//status", 200),
        ("//metrics", 200),
        ("/ready//nobody", 404),
        ("//", 200),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn options_on_a_probe_is_answered_as_head_is() {
    let closed = async || -> std::io::Result<()> { Err(std::io::Error::other("no")) };
    let down = vitalsign::every(Duration::from_millis(10)).from_fn(closed);
    let health = Health::builder("orders").check("database", down).build().expect("a plan");
    let running = Running::start(patient(), health.clone().into_app()).await;
    let mut client = Client::connect(running.address).await;
    let is_down = async || !health.ready() && health.snapshot().checks[0].status.as_str() == "down";
    crate::support::daemon::wait_for("it to be down", is_down).await;
    for path in [
        "/ready",
        "/readyz",
        "/health",
        "/healthz",
        "/livez",
        "/startup",
        "/startupz",
        "/ready/database",
        "/health/database",
        "/ready?verbose",
        "/ready?exclude=database",
        "//ready",
    ] {
        let head = client.request("HEAD", path).await;
        let options = client.request("OPTIONS", path).await;
        assert_eq!(options.status, head.status, "{path}");
        for name in ["content-type", "cache-control", "x-content-type-options"] {
            assert_eq!(options.header(name), head.header(name), "{path} {name}");
        }
        assert_eq!(options.header("allow"), Some("GET,HEAD,OPTIONS"), "{path}");
        assert_eq!((options.header("content-length"), &*options.body), (Some("0"), ""), "{path}");
        for method in ["POST", "DELETE", "TRACE", "PROPFIND"] {
            let answer = client.request(method, path).await;
            let allowed = (answer.status, answer.header("allow"));
            assert_eq!(allowed, (405, Some("GET,HEAD,OPTIONS")), "{method} {path}");
        }
    }
    for path in ["/", "/status", "/metrics", "/events"] {
        let answer = client.request("OPTIONS", path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")), "{path}");
    }
    let server = client.request("OPTIONS", "*").await;
    let allowed = (server.status, server.header("allow"));
    assert_eq!(allowed, (204, Some("GET,HEAD,POST,PUT,OPTIONS")));
    assert_eq!(server.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn no_request_however_unusual_goes_unanswered() {
    for app in [app().1, App::from(Router::new().route("/", get(|| async { "hello" })))] {
        let running = Running::start(patient(), app).await;
        for line in [
            "GET http://elsewhere/ready HTTP/1.1",
            "GET http://elsewhere HTTP/1.1",
            "GET http://elsewhere?verbose HTTP/1.1",
            "GET ? HTTP/1.1",
            "GET ?verbose HTTP/1.1",
            "GET ready HTTP/1.1",
            "GET * HTTP/1.1",
            "OPTIONS * HTTP/1.0",
            "OPTIONS http://elsewhere HTTP/1.1",
            "CONNECT elsewhere:443 HTTP/1.1",
            "CONNECT /ready HTTP/1.1",
            "GET /ready# HTTP/1.1",
            "GET /%00%ff?%00=%ff&exclude=%ff&verbose=%00 HTTP/1.1",
            "GET /ready/%2f%2f HTTP/1.1",
            "GET /../../etc/passwd HTTP/1.1",
            "GET //////////////// HTTP/1.1",
            "GET /heartbeat/?token HTTP/1.1",
            "GET /checks/?details HTTP/1.1",
            "GET / HTTP/1.0",
            "PRI * HTTP/1.1",
            "M-SEARCH * HTTP/1.1",
        ] {
            let mut client = Client::connect(running.address).await;
            client.send(format!("{line}\r\nhost: test\r\n\r\n")).await;
            let answer = client.head().await.unwrap_or_else(|| panic!("{line}: no answer"));
            assert!(answer.status < 500, "{line}: {answer:?}");
        }
        for empty in ["", "\r\n", "\r\n\r\n\r\n", "\0"] {
            let mut client = Client::connect(running.address).await;
            client.send(empty).await;
            client.end_sending().await;
            client.closed().await;
        }
        drop(TcpStream::connect(running.address).await);
        assert_eq!(running.stop().await.requests_cut, 0);
    }
}
