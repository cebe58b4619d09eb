//! HTTP/1.1 as the kinds that speak it need it: one connection, one request after the other, and
//! the headers and words of each.
//!
//! # Why this is not left to hyper
//! A check must take whatever answer a browser or curl takes. hyper refuses a head with a control
//! character and a chunked body with an odd trailer, or drops lines that say something; the bytes
//! never reach its caller. Reading the head and the framing of a body takes few lines, and the
//! handshake of a WebSocket reads its head here too. The types of a request and its answer are
//! those of the `http` crate, which hyper re-exports.
//!
//! # What flows in and out
//! A [`Stream`](super::Stream) and a request flow in; the head of the answer flows out, and then
//! the pieces of its body. No task runs: whatever is awaited is cancelled by dropping it.

mod connection;
mod framing;
mod head;

use std::io;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::response;
use hyper::{Request, Version};
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::Secret;
use crate::engine::check::{Context, Failure};
use crate::model::Reason;

use super::Endpoint;

pub(crate) use connection::Connection;

/// Longest head of an answer, the interim answers before it included.
const LONGEST_HEAD: usize = 64 * 1024;

/// Most headers of an answer.
const MOST_HEADERS: usize = 100;

/// The protocol offered by TLS.
pub(crate) const ALPN: &[&[u8]] = &[b"http/1.1"];

/// The `User-Agent` of every request.
pub(crate) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vitalsign/", env!("CARGO_PKG_VERSION")));

/// A request, with its body where it has one. An empty body is announced as such.
pub(crate) type Outgoing = Request<Option<Bytes>>;

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The connection failed.
    Io(io::Error),
    /// The peer closed the connection before its answer was complete.
    Ended,
    /// The head, or what frames the body, is longer than what is read.
    TooLarge,
    /// This is not HTTP/1.1, and why.
    Malformed(&'static str),
}

impl Error {
    /// The failure of asking `endpoint` that it stands for.
    pub(crate) fn failure(&self, endpoint: &Endpoint) -> Failure {
        let (reason, what) = match self {
            Self::Io(error) => {
                return super::failure(format_args!("the exchange with {endpoint}"), error);
            }
            Self::Ended => {
                (Reason::ConnectionReset, "closed the connection before its answer was complete")
            }
            Self::TooLarge => (Reason::TooLarge, "answered with more than 64 KiB or 100 headers"),
            Self::Malformed(why) => {
                let text = format!("{endpoint} does not speak HTTP/1.1: {why}");
                return Failure::new(Reason::Protocol, text);
            }
        };
        Failure::new(reason, format!("{endpoint} {what}"))
    }

    /// Whether it says that a kept connection had been closed before an answer began.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Io(error) => Reason::of_io(error) == Reason::ConnectionReset,
            Self::TooLarge | Self::Malformed(_) => false,
        }
    }
}

/// Records what the head of an answer says on the span.
pub(crate) fn note(cx: &Context, head: &response::Parts) {
    cx.attribute(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(head.status.as_u16()));
    let version = if head.version == Version::HTTP_10 { "1.0" } else { "1.1" };
    cx.attribute(semconv::NETWORK_PROTOCOL_VERSION, version);
}

/// `token` as credentials: RFC 6750, section 2.1. An empty one is a secret that somebody forgot.
pub(crate) fn bearer(token: &Secret) -> Option<HeaderValue> {
    let token = token.expose();
    if token.trim().is_empty() {
        return None;
    }
    sensitive(&format!("Bearer {token}"))
}

/// A header value that no debug output shows.
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
