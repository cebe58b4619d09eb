//! One connection from accept to its end: handshake, requests, and their limits.
//!
//! Input: a socket and the router. Output: answers, and counts of connections and requests that
//! were refused before routing.
//!
//! # Slow clients
//! `tracker.rs` (`Connection::due`) decides when a slow request head, an idle connection or a
//! client that does not read its answer is due to be closed; the loop here closes it. `transfer.rs`
//! ends slow request bodies.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use futures_util::future::Either;
use futures_util::poll;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::tracker::{Connection, Due, InFlight, Limits};
use super::transfer::{self, ResponseBody, TrackedStream};
use crate::http::app::{App, Draining};
use crate::http::middleware::guard;
use crate::http::problem::Problem;
use crate::http::server_context::{BodyLimit, ServerContext};
use crate::model::log_targets;

/// Most that a request head may hold, of HTTP/1 and, decompressed, of HTTP/2.
const MAX_HEAD: u32 = 64 * 1024;

/// Requests that one HTTP/2 connection may have in flight.
const MAX_STREAMS: u32 = 64;

/// Declares the reasons of `health_http_rejected_total` once, for counting and for starting at 0.
macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// Why a connection or request was refused before routing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Rejected { $($(#[$doc])* $variant,)+ }

        impl Rejected {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

rejections! {
    /// No slot was free and no connection idle.
    ConnectionLimit = "connection_limit",
    /// It had been idle longest when a new connection needed its slot.
    EvictedIdle = "evicted_idle",
    /// No complete request head, or no complete handshake, came in time.
    HeaderTimeout = "header_timeout",
    /// The client does not speak TLS, or not with what we offer.
    TlsHandshake = "tls_handshake",
    /// What came cannot be read as an HTTP request.
    Malformed = "malformed",
    /// The request head is over its limit.
    HeadTooLarge = "head_too_large",
    /// The request announced a body over its limit.
    BodyTooLarge = "body_too_large",
}

impl Rejected {
    const METRIC: &'static str = "health_http_rejected_total";

    /// Makes every series exist, so that a first rejection shows as an increase.
    pub(super) fn start_at_zero() {
        for reason in Self::ALL {
            metrics::counter!(Self::METRIC, "reason" => reason.as_str()).absolute(0);
        }
    }

    /// Counts one.
    pub(super) fn count(self) {
        // A rejection is rare, or costs the client more than us: no handle is kept.
        metrics::counter!(Self::METRIC, "reason" => self.as_str()).increment(1);
    }
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) app: App,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    /// Cancelled when no new request is wanted.
    pub(super) drain: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// What handlers may know of the server.
    pub(super) context: Arc<ServerContext>,
}

impl Shared {
    /// Serves one accepted socket until it ends or is ended.
    pub(super) async fn serve(&self, socket: TcpStream, peer: SocketAddr, conn: Arc<Connection>) {
        if let Some(rejected) = self.take(socket, peer, &conn).await {
            tracing::debug!(
                target: log_targets::SERVER,
                reason = rejected.as_str(), "refused a connection"
            );
            rejected.count();
        }
    }

    /// Speaks TLS first, where that is configured.
    async fn take(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        conn: &Arc<Connection>,
    ) -> Option<Rejected> {
        #[cfg(feature = "tls")]
        if let Some(acceptor) = &self.tls {
            return match self.shake_hands(acceptor, socket, conn).await {
                Ok(stream) => {
                    // Agreed on already, the protocol needs no guess by the first bytes.
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let protocol = self.protocol();
                    let protocol =
                        if http2 { protocol.http2_only() } else { protocol.http1_only() };
                    self.converse(protocol, stream, peer, conn).await
                }
                Err(rejected) => rejected,
            };
        }
        self.converse(self.protocol(), socket, peer, conn).await
    }

    /// The TLS handshake; `Err(None)` when the client left or the connection is to end.
    #[cfg(feature = "tls")]
    async fn shake_hands(
        &self,
        acceptor: &TlsAcceptor,
        socket: TcpStream,
        conn: &Connection,
    ) -> Result<tokio_rustls::server::TlsStream<TcpStream>, Option<Rejected>> {
        let deadline = Instant::now() + self.limits.header;
        tokio::select! {
            biased;
            shaken = acceptor.accept(socket) => shaken.map_err(|error| {
                // The others are the client's leaving, such as that of a TCP health check.
                let refused = error.kind() == std::io::ErrorKind::InvalidData;
                refused.then_some(Rejected::TlsHandshake)
            }),
            () = conn.end().cancelled() => Err(None),
            () = self.drain.cancelled() => Err(None),
            () = sleep_until(deadline) => Err(Some(Rejected::HeaderTimeout)),
        }
    }

    /// Answers requests until the connection ends, or is due to.
    async fn converse<S>(
        &self,
        protocol: auto::Builder<Streams>,
        stream: S,
        peer: SocketAddr,
        conn: &Arc<Connection>,
    ) -> Option<Rejected>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = conn.request(request.version() == Version::HTTP_2);
            self.answer(request, in_flight, conn, peer)
        });
        let io = TokioIo::new(TrackedStream::new(stream, Arc::clone(conn)));
        let mut http = pin!(protocol.serve_connection(io, service));
        // It fires at once and then learns when something is due, handshake accounted for.
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut draining = false;
        let why = loop {
            tokio::select! {
                biased;
                result = http.as_mut() => return result.err().and_then(|e| refusal(&*e)),
                () = conn.end().cancelled() => break None,
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                    if let std::task::Poll::Ready(result) = poll!(http.as_mut()) {
                        return result.err().and_then(|e| refusal(&*e));
                    }
                    // An incomplete head does not count as a request in flight.
                    if conn.is_idle() && !conn.is_http2() {
                        break None;
                    }
                }
                () = timer.as_mut() => match conn.due(Instant::now(), self.limits) {
                    Due::At(at) => timer.as_mut().reset(at),
                    Due::Stalled => {
                        tracing::debug!(
                            target: log_targets::SERVER,
                            "closed a connection whose client takes no answer"
                        );
                        break None;
                    }
                    Due::Idle { owed } => break owed.then_some(Rejected::HeaderTimeout),
                },
            }
        };
        // One last poll sends what can be sent without waiting: a close of TLS, a GOAWAY.
        conn.end().cancel();
        http.as_mut().graceful_shutdown();
        match poll!(http) {
            std::task::Poll::Ready(Err(error)) => refusal(&*error).or(why),
            _ => why,
        }
    }

    /// Answers one request: at once, or by the router.
    fn answer(
        &self,
        request: Request<Incoming>,
        in_flight: InFlight,
        conn: &Arc<Connection>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + use<> {
        let request = self.app.normalized(request);
        let draining = self.app.draining();
        // HTTP/2 has no such header; it says goodbye when the listener closes.
        let closes = request.version() != Version::HTTP_2;
        let send = move |mut response: Response<Body>| {
            if closes && draining.as_ref().is_some_and(Draining::has_begun) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // What has no content has no length either, which HEAD would get (RFC 9110, 8.6).
            if response.status() == StatusCode::NO_CONTENT {
                response.headers_mut().remove(CONTENT_LENGTH);
            }
            let endless = is_event_stream(&response);
            Ok(response.map(|body| ResponseBody::new(body, in_flight, endless)))
        };
        if let Some(response) = self.app.at_once(&request) {
            return Either::Left(ready(send(response)));
        }
        let routed = self.route(request, conn, peer);
        Either::Right(async move { send(routed.await) })
    }

    /// Has the router answer one request.
    fn route(
        &self,
        request: Request<Incoming>,
        conn: &Arc<Connection>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let too_large = request.body().size_hint().lower() > transfer::MAX_REQUEST_BODY as u64;
        let limit = BodyLimit::default();
        let mut request = request.map(|body| {
            if body.is_end_stream() {
                return Body::empty();
            }
            transfer::limit_request_body(body, conn.body(), limit.clone(), self.limits.header)
        });
        if !request.body().is_end_stream() {
            request.extensions_mut().insert(limit.clone());
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(&self.context));
        let mut router = self.app.router();
        async move {
            let Ok(response) = router.call(request).await;
            if too_large && response.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Rejected::BodyTooLarge.count();
                return guard(Problem::payload_too_large().into_response());
            }
            response
        }
    }

    fn protocol(&self) -> auto::Builder<Streams> {
        let mut protocol = auto::Builder::new(Streams(self.tasks.clone()));
        // Our own timer also covers the time before the protocol is known, and HTTP/2.
        protocol.http1().header_read_timeout(None).max_buf_size(MAX_HEAD as usize);
        protocol
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.header)
            .keep_alive_timeout(self.limits.header)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD);
        protocol
    }
}

/// Runs the streams of HTTP/2 connections; each notices by itself when its connection is gone.
#[derive(Debug, Clone)]
struct Streams(TaskTracker);

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

/// Why the protocol refused what came, when that is why it ended.
fn refusal(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<Rejected> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        Some(Rejected::HeadTooLarge)
    } else {
        error.is_parse().then_some(Rejected::Malformed)
    }
}

/// Whether an answer is a stream of events, which has no end of its own.
fn is_event_stream<B>(response: &Response<B>) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE);
    media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
