//! The listening server against clients that are slow, many, wrong or gone.

use std::future::pending;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::Instant;

use crate::support::http::Client;
use crate::support::stage::{LONG, Running, patient, quick, recorder, rejected, router, stage};

#[tokio::test]
async fn a_silent_client_is_closed_after_the_header_timeout() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;
    assert_eq!(rejected(&metrics), [""; 0]);
    assert_eq!(Client::connect(running.address).await.closed().await, 0);
    assert_eq!(rejected(&metrics), ["header_timeout 1"]);
}

#[tokio::test]
async fn a_client_that_trickles_its_head_is_closed_all_the_same() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;
    let stream = TcpStream::connect(running.address).await.expect("the server listens");
    let (reader, writer) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let mut client = Client::over(tokio::io::join(tokio::io::empty(), writer));
        client.send("GET / HTTP/1.1\r\n").await;
        loop {
            client.send("x: y\r\n").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    Client::over(tokio::io::join(reader, tokio::io::sink())).closed().await;
    trickle.abort();
    assert_eq!(rejected(&metrics), ["header_timeout 1"]);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_none_comes() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;
    let mut client = Client::connect(running.address).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, "hello");
    }
    assert_eq!(client.closed().await, 0);
    assert_eq!(rejected(&metrics), [""; 0], "an idle close is no refusal");
}

#[tokio::test]
async fn at_the_cap_the_longest_idle_connection_makes_room() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(patient().max_connections(2), router(&stage().0)).await;
    let mut first = Client::connect(running.address).await;
    first.get("/").await;
    let mut second = Client::connect(running.address).await;
    second.get("/").await;
    first.get("/").await;

    let mut third = Client::connect(running.address).await;
    assert_eq!(third.get("/").await.status, 200);
    assert_eq!(second.closed().await, 0);
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(rejected(&metrics), ["evicted_idle 1"]);
}

#[tokio::test]
async fn silent_connections_hold_no_slot_against_a_newcomer() {
    let running = Running::start(patient().max_connections(2), router(&stage().0)).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Client::connect(running.address).await);
    }
    assert_eq!(Client::connect(running.address).await.get("/").await.status, 200);
    for client in &mut silent[..18] {
        client.closed().await;
    }
}

#[tokio::test]
async fn with_every_connection_busy_a_newcomer_is_refused_and_nobody_cut() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (stage, mut waiting) = stage();
    let running = Running::start(patient().max_connections(2), router(&stage)).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(running.address).await;
        client.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
        waiting.recv().await;
        clients.push(client);
    }
    assert_eq!(Client::connect(running.address).await.closed().await, 0);
    assert_eq!(rejected(&metrics), ["connection_limit 1"]);
    stage.release.add_permits(2);
    for client in &mut clients {
        assert_eq!(client.answer().await.expect("it was not cut").body, "waited");
    }
}

/// Set in the process that the test on descriptors starts.
const FEW_DESCRIPTORS: &str = "VITALSIGN_TEST_FEW_DESCRIPTORS";

/// Only a process of its own can run out of descriptors without taking other tests along.
#[tokio::test]
async fn server_of_a_process_with_few_descriptors() {
    // Among the other tests there is nothing to do: it is what the next test starts.
    if std::env::var_os(FEW_DESCRIPTORS).is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("\nlistening on {}", listener.local_addr().expect("its address"));
    patient().serve(listener, router(&stage().0), pending()).await;
}

#[tokio::test]
async fn out_of_descriptors_the_server_makes_room_and_goes_on() {
    let mut process = Command::new("sh")
        .args(["-c", "ulimit -n 32 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "server::server_of_a_process_with_few_descriptors"])
        .arg("--nocapture")
        .env(FEW_DESCRIPTORS, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    let address = loop {
        let line = lines.next_line().await.expect("text").expect("it says where it listens");
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.parse().expect("an address");
        }
    };
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(Client::connect(address).await);
    }
    assert_eq!(Client::connect(address).await.get("/").await.status, 200);
    silent[0].closed().await;
    process.kill().await.expect("it was still running");
}

#[tokio::test]
async fn a_stop_closes_the_listener_and_idle_connections_and_lets_requests_finish() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    let mut idle = Client::connect(running.address).await;
    idle.get("/").await;
    let mut silent = Client::connect(running.address).await;
    let mut partial = Client::connect(running.address).await;
    partial.send("GET / HT").await;
    let mut busy = Client::connect(running.address).await;
    busy.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;

    running.stop.send(Instant::now() + LONG).expect("it runs");
    assert_eq!(idle.closed().await, 0);
    assert_eq!(silent.closed().await, 0);
    assert_eq!(partial.closed().await, 0);
    let refused = TcpStream::connect(running.address).await;
    assert!(refused.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused));
    assert!(!running.stopped.is_finished());

    stage.release.add_permits(1);
    let answer = busy.answer().await.expect("it was in flight");
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("waited", Some("close")));
    assert_eq!(running.stopped.await.expect("it returns").requests_cut, 0);
}

#[tokio::test]
async fn at_the_deadline_what_is_left_is_cut_and_counted() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    let mut busy = Client::connect(running.address).await;
    busy.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    let mut events = Client::connect(running.address).await;
    events.send("GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await;
    events.head().await;

    running.stop.send(Instant::now() + Duration::from_millis(50)).expect("it runs");
    assert_eq!(running.stopped.await.expect("it returns").requests_cut, 2);
    assert!(busy.answer().await.is_none() && events.chunk().await.is_none());
    stage.over.notified().await;
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let (stage, mut waiting) = stage();
    let running = Running::start(patient(), router(&stage)).await;
    let mut busy = Client::connect(running.address).await;
    busy.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    running.stopped.abort();
    assert!(busy.answer().await.is_none());
    stage.over.notified().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let (stage, mut waiting) = stage();
    let running = Running::start(quick(), router(&stage)).await;
    let mut client = Client::connect(running.address).await;
    client.send("GET /flood HTTP/1.1\r\nhost: test\r\n\r\n").await;
    waiting.recv().await;
    stage.over.notified().await;
    client.closed().await;
}

#[tokio::test]
async fn an_event_stream_without_events_outlives_every_timeout() {
    let (stage, _waiting) = stage();
    let running = Running::start(quick(), router(&stage)).await;
    let mut events = Client::connect(running.address).await;
    events.send("GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(events.head().await.expect("it begins").status, 200);
    // Silent connections one after the other are a clock that runs at the server's own pace.
    for _ in 0..5 {
        Client::connect(running.address).await.closed().await;
    }
    stage.release.add_permits(1);
    assert_eq!(events.chunk().await, Some(Some("event".into())));
}

#[tokio::test]
async fn large_answers_arrive_whole() {
    let text = "0123456789".repeat(100_000);
    let body = text.clone();
    let app = Router::new().route("/", get(|| async move { body }));
    let running = Running::start(patient(), app).await;
    let answer = Client::connect(running.address).await.get("/").await;
    assert_eq!(answer.header("content-length"), Some("1000000"));
    assert!(answer.body == text);
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_counted() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(patient(), router(&stage().0)).await;

    let mut malformed = Client::connect(running.address).await;
    malformed.send("no request at all\r\n\r\n").await;
    assert_eq!(malformed.answer().await.expect("an answer").status, 400);
    malformed.closed().await;
    assert_eq!(rejected(&metrics), ["malformed 1"]);

    let mut huge = Client::connect(running.address).await;
    huge.send("GET / HTTP/1.1\r\nhost: test\r\n").await;
    huge.send(format!("x: {}", "y".repeat(100_000))).await;
    assert_eq!(huge.answer().await.expect("an answer").status, 431);
    huge.closed().await;
    // A reset here would mean that it could have overtaken the answer.
    for _ in 0..10 {
        huge.try_send("y".repeat(10_000)).await.expect("the rest is taken and thrown away");
    }
    assert_eq!(running.stop().await.requests_cut, 0);
    assert_eq!(rejected(&metrics), ["head_too_large 1", "malformed 1"]);
}

#[tokio::test]
async fn request_bodies_are_bounded_in_size_and_time() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(quick(), router(&stage().0)).await;

    let mut small = Client::connect(running.address).await;
    small.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(small.answer().await.expect("an answer").body, "hello");

    let mut announced = Client::connect(running.address).await;
    announced.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 70000\r\n\r\n").await;
    let answer = announced.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("cache-control")), (413, Some("no-store")));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(rejected(&metrics), ["body_too_large 1"]);

    let mut chunked = Client::connect(running.address).await;
    chunked.send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    chunked.send(format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000))).await;
    assert_eq!(chunked.answer().await.expect("an answer").status, 413);

    let mut late = Client::connect(running.address).await;
    late.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhe").await;
    assert_eq!(late.answer().await.expect("an answer").status, 400);
    late.closed().await;
}

#[tokio::test]
async fn handlers_see_the_address_of_the_client() {
    let listener = TcpListener::bind("[::]:0").await.expect("a dual-stack port");
    let port = listener.local_addr().expect("its address").port();
    let app = router(&stage().0);
    tokio::spawn(patient().serve(listener, app, pending()));
    for address in ["127.0.0.1", "::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let peer = Client::connect((address, port).into()).await.get("/peer").await.body;
        assert_eq!(peer, address.to_string(), "not as an IPv4-mapped IPv6 address");
    }
}
