//! A client that shows what a connection really carries: one request at a time, byte by byte.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, over TCP or anything like it.
#[derive(Debug)]
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The whole head.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    /// The value of a header, by its name in whatever case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Client {
    /// Connects; it sends nothing yet.
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).await.expect("the server listens"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Speaks over a stream that is already open.
    pub(crate) const fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes as they are; that the server closes meanwhile is for the reader to see.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes).await;
    }

    /// Sends bytes as they are, to a server that should still take them.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Ends the sending half, as `nc -N` does.
    pub(crate) async fn end_sending(&mut self) {
        self.stream.shutdown().await.expect("the server listens");
    }

    /// Sends a request without a body and reads its answer.
    pub(crate) async fn request(&mut self, method: &str, path: &str) -> Answer {
        self.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        let answer = if method == "HEAD" { self.head().await } else { self.answer().await };
        answer.expect("an answer")
    }

    /// Sends a GET and reads its answer.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path).await
    }

    /// Reads an answer with its body; `None` when the server closes before it is complete.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("a length");
            answer.body = self.take(length).await?;
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await? {
                answer.body.push_str(&chunk);
            }
        }
        Some(answer)
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let head = self.line_end(b"\r\n\r\n").await?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Some(Answer { status: status.expect("a status line"), head, body: String::new() })
    }

    /// Reads one chunk of a chunked body; `Some(None)` is its end.
    pub(crate) async fn chunk(&mut self) -> Option<Option<String>> {
        let size = self.line_end(b"\r\n").await?;
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        let chunk = self.take(size + 2).await?;
        Some((size > 0).then(|| chunk[..size].to_owned()))
    }

    /// Waits until the server closes, and tells how many bytes came before.
    pub(crate) async fn closed(&mut self) -> usize {
        let mut count = std::mem::take(&mut self.unread).len();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return count,
                Ok(more) => count += more,
            }
        }
    }

    async fn line_end(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Option<String> {
        while self.unread.len() < length {
            self.more().await?;
        }
        let taken = self.unread.drain(..length).collect();
        Some(String::from_utf8(taken).expect("text"))
    }

    async fn more(&mut self) -> Option<()> {
        let count = self.stream.read_buf(&mut self.unread).await.ok()?;
        (count > 0).then_some(())
    }
}
