//! The event stream of the running service.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::reload::tcp;
use crate::support::daemon::{free_port, wait_for};
use crate::support::events::EventStream;
use crate::support::service::Service;

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

/// A dependency that listens on a port of its own while it is there.
struct Dependency {
    address: SocketAddr,
    listener: Option<TcpListener>,
}

impl Dependency {
    fn away() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self { address, listener: None }
    }

    fn check(&self) -> String {
        tcp("cache", self.address.port(), "timeout = \"150ms\"\nfailure_threshold = 1")
    }

    fn comes(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(self.address).expect("its port");
        // Nobody accepts: the queue is long enough for all that a test asks.
        self.listener = Some(socket.listen(4096).expect("it listens"));
    }

    fn goes(&mut self) {
        self.listener = None;
    }
}

#[tokio::test]
async fn a_change_arrives_when_a_dependency_goes_and_a_reader_that_was_away_resumes() {
    let mut cache = Dependency::away();
    let service = Service::start(&cache.check()).await;
    let mut events = EventStream::open(service.address, &[]).await;
    let mut stranger = EventStream::open(service.address, &[FORWARDED]).await;
    events.summary_of("down").await;
    cache.comes();
    events.summary_of("up").await;
    cache.goes();
    let gone = events.next_of("status").await;
    assert_eq!((&gone.data["check"], &gone.data["to"]), (&json!("cache"), &json!("down")));
    assert_eq!(gone.data["reason"], "connection_refused");
    assert_eq!(gone.data["trace_id"].as_str().map(str::len), Some(32));
    cache.comes();
    let back = events.next_of("status").await;
    assert!(back.id > gone.id, "ids grow");
    loop {
        let change = stranger.next_of("status").await;
        let keys: Vec<_> = change.data.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["at", "check", "from", "to"], "details are withheld");
        if change.id == gone.id {
            break;
        }
    }

    drop(events);
    let id = gone.id.expect("an id").to_string();
    let mut resumed = EventStream::open(service.address, &[("last-event-id", &id)]).await;
    assert_eq!(resumed.event().await.name, "summary");
    assert_eq!(resumed.event().await, back, "the one after the one seen last");
    let page = service.get("/metrics").await.body;
    let opened = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                  http_route=\"/events\",http_response_status_code=\"200\"} 3";
    assert!(page.contains(opened), "an open stream has been answered: {page}");
    assert!(page.contains("http_server_active_requests 1\n"), "the scrape alone: {page}");
}

#[tokio::test]
async fn streams_hear_of_the_draining_and_end_with_the_listener() {
    let config = format!(
        "[server]\ndrain_delay = \"500ms\"\n{}",
        "[checks.own]\nkind = \"sqlite\"\npath = \"own.db\"\ncreate = true\n"
    );
    let service = Service::start(&config).await;
    let mut events = EventStream::open(service.address, &[]).await;
    events.summary_of("up").await;
    service.signal(Signal::TERM);
    let draining = events.summary_of("draining").await;
    assert_eq!((&draining.data["live"], &draining.data["ready"]), (&json!(true), &json!(false)));
    let mut late = EventStream::open(service.address, &[]).await;
    late.summary_of("draining").await;
    events.ends().await;
    late.ends().await;
    let (status, log) = service.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("were cut"), "{log}");
}

#[tokio::test]
async fn streams_beyond_their_bound_are_503() {
    let config = format!("[server]\nmax_connections = 6\n{}", Dependency::away().check());
    let service = Service::start(&config).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(EventStream::open(service.address, &[]).await);
    }
    let (refused, _) = EventStream::ask(service.address, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
    assert_eq!(service.get("/health").await.status, 200);
    streams.pop();
    wait_for("a place", async || EventStream::ask(service.address, &[]).await.0.status == 200)
        .await;
}

/// Opens a stream with the smallest of buffers and never reads from it.
async fn deaf(server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("an option");
    let mut stream = socket.connect(server).await.expect("it listens");
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("it is sent");
    stream
}

#[tokio::test]
async fn readers_that_never_read_slow_nobody_take_no_memory_and_are_closed() {
    const DEAF: usize = 60;
    const IDLE_CHECKS: usize = 1_500;
    const FLOW: usize = 8 << 20;
    let mut cache = Dependency::away();
    let mut config = format!(
        "[server]\nheader_timeout = \"1s\"\ndrain_delay = \"5s\"\nshutdown_timeout = \"6s\"\n{}",
        cache.check()
    );
    for number in 0..IDLE_CHECKS {
        config = config
            + &format!("[checks.a-check-with-a-name-long-enough-to-fill-buffers-{number}]\n")
            + "kind = \"disk\"\npath = \"/\"\ninterval = \"1h\"\ngates = []\n";
    }
    let service = Service::start_with(&config, |command| {
        command.env("RUST_LOG", "info,vitalsign::server=debug");
    })
    .await;
    let mut reader = EventStream::open(service.address, &[]).await;
    reader.summary_of("down").await;
    cache.comes();
    reader.summary_of("up").await;
    let before = service.resident_bytes();
    let mut deaf_ones = Vec::new();
    for _ in 0..DEAF {
        deaf_ones.push(deaf(service.address).await);
    }

    // Each summary goes to everybody; what the deaf ones do not take must not pile up.
    let mut flow = 0;
    while flow < FLOW {
        cache.goes();
        flow += reader.summary_of("down").await.data.to_string().len();
        assert_eq!(service.get("/health").await.status, 200);
        cache.comes();
        flow += reader.summary_of("up").await.data.to_string().len();
    }
    let grown = service.resident_bytes().saturating_sub(before);
    assert!(grown < FLOW * DEAF / 8, "{grown} bytes for {DEAF} that never read");
    let closed = "closed a connection whose client takes no answer";
    service.says(closed, DEAF).await;
    drop(deaf_ones);
    let (status, log) = service.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

impl Service {
    fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }
}
