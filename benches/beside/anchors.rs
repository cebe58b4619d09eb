//! The bare programs: a route, a loop of checks, and the server that is checked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Is the program of this name until it is killed.
pub(super) fn play(role: &str) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let many = || Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match role {
        "axum" => many().block_on(route()),
        "loop" => many().block_on(check(&args)),
        "target" => {
            let single = Builder::new_current_thread().enable_all().build().expect("a runtime");
            single.block_on(LocalSet::new().run_until(target()));
        }
        other => panic!("{other} is no program"),
    }
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("its address"));
    listener
}

async fn route() {
    let answer = || async { ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"up"}"#) };
    let app = Router::new().route("/ready", get(answer));
    axum::serve(listen().await, app).await.expect("it serves");
}

/// Asks the target once a second for each check, each time over a fresh connection.
async fn check(args: &[String]) {
    let target: SocketAddr = args[0].parse().expect("an address");
    let checks: u32 = args[1].parse().expect("a number");
    let second = Duration::from_secs(1);
    let start = Instant::now();
    for index in 0..checks {
        let mut due = interval_at(start + second * index / checks, second);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tokio::spawn(async move {
            loop {
                due.tick().await;
                once(target, index).await.expect("an answer");
            }
        });
    }
    // Whoever started it waits for this line.
    println!("{target}");
    std::future::pending::<()>().await;
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn once(target: SocketAddr, index: u32) -> Result<(), Failure> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(format!("/{index}"))
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        response.into_body().collect().await
    };
    let (_, answer) = tokio::join!(connection, answer);
    answer?;
    Ok(())
}

#[derive(Default)]
struct Log {
    requests: u64,
    last: HashMap<String, Instant>,
    /// Milliseconds by which the time between two requests of a path was off a second.
    errors: Vec<f64>,
}

/// Answers every request with the same few bytes and closes the connection.
async fn target() {
    let log = Rc::new(RefCell::new(Log::default()));
    let listener = listen().await;
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::task::spawn_local(serve(stream, Rc::clone(&log)));
    }
}

async fn serve(mut stream: TcpStream, log: Rc<RefCell<Log>>) {
    let (mut head, mut buffer) = (Vec::new(), [0; 2048]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head);
    let path = text.split(' ').nth(1).unwrap_or_default();
    let body = if path == "/report" { log.take().summary() } else { log.borrow_mut().note(path) };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that has left wants no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
}

impl Log {
    fn note(&mut self, path: &str) -> String {
        self.requests += 1;
        let now = Instant::now();
        if let Some(before) = self.last.insert(path.to_owned(), now) {
            let between = now.duration_since(before).as_secs_f64();
            self.errors.push((between - 1.0).abs() * 1e3);
        }
        "ok\n".to_owned()
    }

    fn summary(mut self) -> String {
        self.errors.sort_by(f64::total_cmp);
        let p99 = self.errors.get(self.errors.len() * 99 / 100).copied().unwrap_or_default();
        format!("{} {p99}", self.requests)
    }
}
