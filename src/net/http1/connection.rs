//! One connection that speaks HTTP/1.1.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::header::CONTENT_LENGTH;
use hyper::http::response;
use hyper::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::engine::check::Context;
use crate::net::{Chain, Stream, note_peer};

use super::framing::{Chunk, Framing, chunk_size, keeps_alive};
use super::head::{self, Search};
use super::{Error, LONGEST_HEAD, Outgoing};

/// Room for the head of an ordinary answer; this much is held while an answer is awaited.
const HEAD_AT_ONCE: usize = 2 * 1024;

/// How much of a body is read at once.
const BODY_AT_ONCE: usize = 16 * 1024;

/// Longest line that frames a chunk.
const LONGEST_LINE: usize = 4 * 1024;

/// A connection, for one request at a time. It ends when it is dropped.
pub(crate) struct Connection {
    stream: Stream,
    /// What was received and not taken yet.
    received: BytesMut,
    /// Of the answer that is being read.
    framing: Framing,
    keeps_alive: bool,
    peer: Option<SocketAddr>,
    chain: Option<Chain>,
}

impl Connection {
    /// Prepares `stream` for requests.
    pub(crate) fn new(stream: Stream) -> Self {
        let (peer, chain) = match &stream {
            Stream::Plain(stream) => (stream.peer_addr().ok(), None),
            Stream::Tls(stream) => (stream.get_ref().0.peer_addr().ok(), stream.certificates()),
            Stream::Unix(_) => (None, None),
        };
        let received = BytesMut::new();
        Self { stream, received, framing: Framing::DONE, keeps_alive: false, peer, chain }
    }

    /// Sends `request` and awaits the head of its answer. Interim answers are ignored.
    ///
    /// An answer that comes before the request was taken in full counts: a server that refuses it
    /// need not read it.
    pub(crate) async fn send(&mut self, request: &Outgoing) -> Result<response::Parts, Error> {
        let mut outgoing = Unsent::new(written(request));
        let mut search = Search::default();
        let mut room = LONGEST_HEAD;
        self.keeps_alive = false;
        loop {
            if let Some(length) = search.end(&self.received)? {
                room = room.checked_sub(length).ok_or(Error::TooLarge)?;
                let head = head::parse(&self.received.split_to(length))?;
                let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
                if head.status.is_informational() && !switches {
                    search = Search::default();
                    continue;
                }
                self.framing = Framing::of(request.method(), &head)?;
                self.keeps_alive = keeps_alive(&head) && outgoing.is_done();
                return Ok(head);
            }
            if self.received.len() >= room {
                return Err(Error::TooLarge);
            }
            let Self { stream, received, .. } = self;
            received.reserve(HEAD_AT_ONCE);
            let read = poll_fn(|task| {
                outgoing.poll(Pin::new(&mut *stream), task);
                std::pin::pin!(stream.read_buf(received)).poll(task)
            });
            match (read.await, outgoing.failed.take()) {
                (Ok(0), None) => return Err(Error::Ended),
                (Ok(0) | Err(_), Some(error)) | (Err(error), None) => return Err(Error::Io(error)),
                (Ok(_), failed) => outgoing.failed = failed,
            }
        }
    }

    /// How long the rest of the body is, where the head said so.
    pub(crate) const fn announced(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }

    /// The next piece of the body; none at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.framing {
                Framing::DONE => return Ok(None),
                Framing::Length(left) => {
                    let piece = self.some(left).await?.ok_or(Error::Ended)?;
                    self.framing = Framing::Length(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Framing::UntilClose => {
                    let piece = self.some(u64::MAX).await?;
                    if piece.is_none() {
                        self.framing = Framing::DONE;
                        self.keeps_alive = false;
                    }
                    return Ok(piece);
                }
                Framing::Chunked(Chunk::Data(left)) => {
                    let piece = self.some(left).await?.ok_or(Error::Ended)?;
                    let left = left - piece.len() as u64;
                    let next = if left == 0 { Chunk::End } else { Chunk::Data(left) };
                    self.framing = Framing::Chunked(next);
                    return Ok(Some(piece));
                }
                Framing::Chunked(chunk) => self.framing = self.between(chunk).await?,
            }
        }
    }

    /// Reads the line that is next of a chunked body, outside of its data.
    async fn between(&mut self, chunk: Chunk) -> Result<Framing, Error> {
        let line = self.line().await?;
        let next = match chunk {
            Chunk::End if line.is_empty() => Chunk::Size,
            Chunk::End => {
                return Err(Error::Malformed("a chunk of its body is longer than it said"));
            }
            Chunk::Size | Chunk::Data(_) => match chunk_size(&line)? {
                0 => Chunk::Trailers(LONGEST_HEAD),
                size => Chunk::Data(size),
            },
            Chunk::Trailers(_) if line.is_empty() => return Ok(Framing::DONE),
            Chunk::Trailers(room) => {
                Chunk::Trailers(room.checked_sub(line.len()).ok_or(Error::TooLarge)?)
            }
        };
        Ok(Framing::Chunked(next))
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<BytesMut, Error> {
        loop {
            if let Some(end) = self.received.iter().position(|b| *b == b'\n') {
                let mut line = self.received.split_to(end + 1);
                let carriage = end > 0 && line[end - 1] == b'\r';
                line.truncate(if carriage { end - 1 } else { end });
                return Ok(line);
            }
            if self.received.len() > LONGEST_LINE {
                return Err(Error::TooLarge);
            }
            if self.fill().await? == 0 {
                return Err(Error::Ended);
            }
        }
    }

    /// At least one byte and at most `most`; none at the end of the connection.
    async fn some(&mut self, most: u64) -> Result<Option<Bytes>, Error> {
        if self.received.is_empty() && self.fill().await? == 0 {
            return Ok(None);
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.received.len());
        Ok(Some(self.received.split_to(length).freeze()))
    }

    async fn fill(&mut self) -> Result<usize, Error> {
        self.received.reserve(BODY_AT_ONCE);
        self.stream.read_buf(&mut self.received).await.map_err(Error::Io)
    }

    /// Whether another request may be sent once the body has been read.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keeps_alive && self.framing == Framing::DONE && self.received.is_empty()
    }

    /// Whether the peer has kept it open, as far as this side knows.
    pub(crate) async fn is_alive(&mut self) -> bool {
        // Without a request, a peer sends nothing but the end, or an error just before it.
        let silent = poll_fn(|task| {
            let mut byte = [0];
            let mut into = ReadBuf::new(&mut byte);
            Poll::Ready(Pin::new(&mut self.stream).poll_read(task, &mut into).is_pending())
        });
        silent.await
    }

    /// The stream, and what was received beyond the head of the last answer.
    #[cfg(feature = "websocket")]
    pub(crate) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.received)
    }

    /// Records what a new connection notes by itself: the peer on the span, and how long its
    /// certificates last.
    pub(crate) fn note_peer(&self, cx: &Context) {
        if let Some(peer) = self.peer {
            note_peer(cx, peer);
        }
        if let Some(chain) = &self.chain {
            chain.measure(cx, None);
        }
    }
}

/// A request as it is sent.
fn written(request: &Outgoing) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let body = request.body().as_ref();
    if body.is_some() || announces_body(request.method()) {
        let length = body.map_or(0, Bytes::len);
        bytes.extend_from_slice(format!("{CONTENT_LENGTH}: {length}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.map_or(&[], |body| &body[..]));
    bytes
}

/// Whether a request with `method` says how long its body is even without one: RFC 9110, section
/// 8.6. Servers answer 411 otherwise.
fn announces_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// What is still to be sent of a request.
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    flushed: bool,
    /// Why no more of it can be sent.
    failed: Option<io::Error>,
}

impl Unsent {
    const fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0, flushed: false, failed: None }
    }

    const fn is_done(&self) -> bool {
        self.flushed
    }

    /// Sends as much as `stream` takes now.
    fn poll(&mut self, stream: Pin<&mut Stream>, task: &mut Task<'_>) {
        if self.flushed || self.failed.is_some() {
            return;
        }
        if let Poll::Ready(result) = self.poll_send(stream, task) {
            self.flushed = result.is_ok();
            self.failed = result.err();
        }
    }

    fn poll_send(
        &mut self,
        mut stream: Pin<&mut Stream>,
        task: &mut Task<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            match ready!(stream.as_mut().poll_write(task, &self.bytes[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        stream.poll_flush(task)
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What is read of an answer with these bytes, after which the peer closes: its status and
    /// its body.
    async fn asked(answer: &[u8]) -> Result<(u16, String), Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut server, _) = accepted.expect("a connection");
        server.write_all(answer).await.expect("it is sent");
        server.shutdown().await.expect("it is closed");
        let mut connection = Connection::new(Stream::Plain(client.expect("a connection")));
        let head = connection.send(&Request::new(None)).await?;
        let mut body = Vec::new();
        while let Some(piece) = connection.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok((head.status.as_u16(), String::from_utf8(body).expect("text")))
    }

    #[tokio::test]
    async fn bodies_are_read_as_they_are_framed() {
        let chunked = |rest: &str| format!("Transfer-Encoding: chunked\r\n\r\n{rest}");
        for (rest, body) in [
            ("Content-Length: 2\r\n\r\nok and more".to_owned(), "ok"),
            ("\r\nto the end".to_owned(), "to the end"),
            (chunked("2\r\nok\r\n3;a=b\r\n!!!\r\n0\r\n\r\n"), "ok!!!"),
            (chunked("2\nok\n0\n\n"), "ok"),
            (chunked("2\r\nok\r\n0\r\nX: a\r\n  b\r\nno colon\r\nY : \u{1}\r\n\r\n"), "ok"),
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{rest}");
            assert_eq!(asked(answer.as_bytes()).await.expect(&rest), (200, body.to_owned()));
        }
        for rest in ["3\r\nok\r\n", "2\r\nok\r\n0\r\n", "2\r\nok\r\n0\r\nX: y\r\n", "2"] {
            let answer = format!("HTTP/1.1 200 OK\r\n{}", chunked(rest));
            let ended = asked(answer.as_bytes()).await;
            assert!(matches!(ended, Err(Error::Ended)), "{rest:?}: {ended:?}");
        }
        let longer =
            asked(format!("HTTP/1.1 200 OK\r\n{}", chunked("1\r\nok\r\n")).as_bytes()).await;
        assert!(matches!(longer, Err(Error::Malformed(_))), "{longer:?}");
    }

    #[tokio::test]
    async fn what_frames_a_body_is_bounded() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for rest in [
            format!("2;{}", "a".repeat(2 * LONGEST_LINE)),
            format!("0\r\n{}", "X: y\r\n".repeat(LONGEST_HEAD)),
        ] {
            let found = asked(format!("{chunked}{rest}").as_bytes()).await;
            assert!(matches!(found, Err(Error::TooLarge)), "{found:?}");
        }
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over_and_bounded() {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let answer = format!("HTTP/1.1 100 Continue\r\n\r\n{interim}{last}");
        assert_eq!(asked(answer.as_bytes()).await.expect("an answer"), (200, "ok".to_owned()));
        let many = interim.repeat(LONGEST_HEAD / interim.len() + 1);
        assert!(matches!(asked(many.as_bytes()).await, Err(Error::TooLarge)));
        assert!(matches!(asked(interim.as_bytes()).await, Err(Error::Ended)));
    }

    #[test]
    fn the_length_of_a_body_is_said_wherever_one_may_be_expected() {
        for (method, body, length) in [
            (Method::GET, None, None),
            (Method::HEAD, None, None),
            (Method::DELETE, None, None),
            (Method::POST, None, Some("content-length: 0\r\n")),
            (Method::PUT, None, Some("content-length: 0\r\n")),
            (Method::PATCH, None, Some("content-length: 0\r\n")),
            (Method::GET, Some("ab"), Some("content-length: 2\r\n")),
            (Method::DELETE, Some(""), Some("content-length: 0\r\n")),
        ] {
            let mut request = Request::new(body.map(Bytes::from));
            *request.method_mut() = method.clone();
            let text = String::from_utf8(written(&request)).expect("text");
            let wanted = format!(
                "{method} / HTTP/1.1\r\n{}\r\n{}",
                length.unwrap_or(""),
                body.unwrap_or("")
            );
            assert_eq!(text, wanted);
        }
    }
}
