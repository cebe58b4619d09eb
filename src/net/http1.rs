//! What the kinds that speak HTTP/1.1 share: a connection, driven by whoever awaits something of
//! it, and the headers and words of one request.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::http::response;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::Secret;
use crate::engine::check::{Context, Failure};
use crate::model::Reason;

use super::{Chain, Endpoint, Stream, brief, note_peer};

/// Longest head of an answer; hyper itself takes at most 100 headers.
const LONGEST_HEAD: usize = 64 * 1024;

/// The protocol offered by TLS.
pub(crate) const ALPN: &[&[u8]] = &[b"http/1.1"];

/// Who asks.
pub(crate) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vitalsign/", env!("CARGO_PKG_VERSION")));

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// A connection. No task runs it: it moves while a step of the run is awaited, and ends when it
/// is dropped.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Option<Pin<Box<Driver>>>,
    peer: Option<SocketAddr>,
    chain: Option<Chain>,
}

impl Connection {
    /// Prepares `stream` for requests.
    pub(crate) async fn new(stream: Stream) -> hyper::Result<Self> {
        let (peer, chain) = match &stream {
            Stream::Plain(stream) => (stream.peer_addr().ok(), None),
            Stream::Tls(stream) => (stream.get_ref().0.peer_addr().ok(), Chain::of(stream)),
            Stream::Unix(_) => (None, None),
        };
        let (sender, driver) = http1::Builder::new()
            .max_header_size(LONGEST_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), peer, chain })
    }

    /// Sends `request` and awaits the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let Self { sender, driver, .. } = self;
        drive(driver, sender.send_request(request)).await
    }

    /// Whether the peer has not closed it, as far as this side has heard.
    pub(crate) async fn is_alive(&mut self) -> bool {
        let Self { sender, driver, .. } = self;
        drive(driver, sender.ready()).await.is_ok()
    }

    /// Awaits `step`, which needs the connection to move.
    pub(crate) async fn drive<F: Future>(&mut self, step: F) -> F::Output {
        drive(&mut self.driver, step).await
    }

    /// Notes what a new connection notes by itself: the peer on the span, and how long its
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

async fn drive<F: Future>(driver: &mut Option<Pin<Box<Driver>>>, step: F) -> F::Output {
    let mut step = std::pin::pin!(step);
    poll_fn(|cx| {
        if let Some(connection) = driver
            && let Poll::Ready(_ended) = connection.as_mut().poll(cx)
        {
            // Its error, if any, reaches the step.
            *driver = None;
        }
        step.as_mut().poll(cx)
    })
    .await
}

/// Notes what the head of an answer says on the span.
pub(crate) fn note(cx: &Context, head: &response::Parts) {
    cx.attribute(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(head.status.as_u16()));
    let version = if head.version == Version::HTTP_10 { "1.0" } else { "1.1" };
    cx.attribute(semconv::NETWORK_PROTOCOL_VERSION, version);
}

/// The failure of an answer whose status is none of those expected.
pub(crate) fn unexpected(from: &Endpoint, status: StatusCode, expected: &str) -> Failure {
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Reason::AuthFailed,
        _ => Reason::UnexpectedStatus,
    };
    let failure = Failure::new(reason, format!("{from} answered {status}; expected {expected}"));
    // By HTTP's own convention.
    let failed = status.is_client_error() || status.is_server_error();
    if failed { failure } else { failure.answered() }
}

/// `token` as credentials: RFC 6750, section 2.1.
pub(crate) fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose()))
}

/// A header value that no debug output shows.
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether `error` says that a kept connection had been closed before an answer began.
pub(crate) fn is_stale(error: &hyper::Error) -> bool {
    error.is_closed()
        || error.is_canceled()
        || error.is_incomplete_message()
        || io_error(error).is_some_and(|e| Reason::of_io(e) == Reason::ConnectionReset)
}

/// The failure that `error` of an exchange with `endpoint` stands for.
pub(crate) fn failure(endpoint: &Endpoint, error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        let text = format!("{endpoint} answered with more than 64 KiB or 100 headers");
        return Failure::new(Reason::TooLarge, text);
    }
    if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        let text = format!("{endpoint} closed the connection before its answer was complete");
        return Failure::new(Reason::ConnectionReset, text);
    }
    match io_error(error) {
        // hyper's word for a body that is framed wrongly.
        Some(error) if is_malformed(error) => {
            let text = format!("{endpoint} does not speak HTTP/1.1: {}", brief(error));
            Failure::new(Reason::Protocol, text)
        }
        Some(error) => super::failure(format_args!("the exchange with {endpoint}"), error),
        None => {
            let text = format!("{endpoint} does not speak HTTP/1.1: {}", brief(error));
            Failure::new(Reason::Protocol, text)
        }
    }
}

fn is_malformed(error: &io::Error) -> bool {
    let kind = error.kind();
    // TLS has words of its own for what is wrong with its records.
    let plain = error.get_ref().is_none_or(|e| e.downcast_ref::<rustls::Error>().is_none());
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) && plain
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}
