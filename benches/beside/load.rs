//! Clients: one that asks as fast as it is answered, and one for a single page.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Asks `/ready` over so many kept connections; returns how many answers came.
pub(super) async fn ask(address: SocketAddr, connections: usize, length: Duration) -> u64 {
    let end = Instant::now() + length;
    let mut all = JoinSet::new();
    for _ in 0..connections {
        all.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let (mut answers, mut buffer) = (0, [0; 4096]);
            let request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
            while Instant::now() < end {
                stream.write_all(request).await.expect("it takes the request");
                // Answers are a few hundred bytes in one piece.
                match timeout_at(end + Duration::from_secs(5), stream.read(&mut buffer)).await {
                    Ok(Ok(length)) if length > 0 => answers += 1,
                    other => panic!("no answer: {other:?}"),
                }
            }
            answers
        });
    }
    all.join_all().await.into_iter().sum()
}

/// A page as text.
pub(super) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Whether it answers yet.
pub(super) async fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut buffer = [0; 64];
    stream.write_all(request).await.is_ok() && matches!(stream.read(&mut buffer).await, Ok(1..))
}

/// What the checked server saw since it was asked last.
pub(super) struct Seen {
    pub(super) requests: u64,
    /// Milliseconds by which the time between two requests of a check was off, at the 99th
    /// percentile.
    pub(super) error_p99: f64,
}

/// Asks the checked server what it saw.
pub(super) async fn report(target: SocketAddr) -> Seen {
    let text = get(target, "/report").await;
    let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
    Seen { requests: next() as u64, error_p99: next() }
}
