//! The listening server: it accepts connections, closes idle ones at the limit, and stops within a
//! deadline.
//!
//! Input: a bound listener, a router and the signal to stop. Output: the number of requests that
//! could not be finished in time. `axum::serve` bounds neither slow clients nor its shutdown, so
//! connections are driven here.

mod connection;
mod refusal;
#[cfg(feature = "tls")]
mod tls;
mod tracker;
mod transfer;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::{Rejected, Shared};
use self::tracker::{Connection, Limits, Slot, Tracker};
use super::app::App;
use super::server_context::ServerContext;
use crate::model::log_targets;

#[cfg(feature = "tls")]
pub use self::tls::{TlsError, tls_config};

/// A stalled client is closed after this many header timeouts.
const STALL_FACTOR: u32 = 3;

/// Bounds of both timeouts, so that no arithmetic on them overflows.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_hours(24));

/// Pauses after an accept that failed for lack of a resource, doubled from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Longest that tasks may take to notice that they were cut.
const CUT: Duration = Duration::from_millis(500);

/// Serves a router or an [`App`] on a listener, over HTTP/1.1 and HTTP/2, with or without TLS.
///
/// Fixed limits: a request head may have 64 KiB. A request body may have 64 KiB and must be
/// complete within `header_timeout`; the body of a heartbeat may have any size, and must only make
/// progress. An HTTP/2 connection may have 64 requests at once. A client that does not read its
/// answer for three times `header_timeout` is disconnected. An event stream without events stays
/// open. A client that closes its sending half still gets its answer; an event stream then ends
/// once everything that was ready has been sent.
///
/// Handlers find the client's address as [`ConnectInfo`](axum::extract::ConnectInfo)`<SocketAddr>`,
/// an IPv4 client of a dual-stack listener under its IPv4 address. What is refused before routing
/// is counted in `health_http_rejected_total` by `reason`.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use std::time::Duration;
/// use tokio::time::Instant;
///
/// # async fn run() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let app = Router::new().route("/", get(|| async { "hello" }));
/// let stop = async {
///     let _ = tokio::signal::ctrl_c().await;
///     Instant::now() + Duration::from_secs(25)
/// };
/// let stopped = vitalsign::http::Server::new().serve(listener, app, stop).await;
/// println!("{} requests were cut", stopped.requests_cut);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    header_timeout: Duration,
    idle_timeout: Duration,
    max_connections: usize,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// What a server left unfinished when it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Requests that were still being answered at the deadline.
    pub requests_cut: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_connections: 1024,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("header_timeout", &self.header_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Longest that a client may take for a complete request head: from accept, TLS handshake
    /// included, and on a kept connection from the first byte of a request.
    ///
    /// Default 10 s; from a millisecond to a day, and brought into that range.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout.clamp(TIMEOUTS.0, TIMEOUTS.1);
        self
    }

    /// Longest that a connection is kept without a request after the last answer.
    ///
    /// Default 75 s, longer than any usual interval of probes: a server that closes just when the
    /// next probe comes looks unreachable. From a millisecond to a day, and brought into that range.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout.clamp(TIMEOUTS.0, TIMEOUTS.1);
        self
    }

    /// Connections that may be open at once. Default 1024; 0 counts as 1.
    ///
    /// At the cap the connection that has been idle longest, no request in flight, makes room; if
    /// none is idle the new one is refused.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Speaks TLS with `config`, such as [`tls_config`] makes; without it,
    /// plaintext.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Serves `app` on `listener` until `shutdown` resolves to the deadline of the stop.
    ///
    /// Then the listener closes at once, idle connections and event streams end, and requests in
    /// flight are finished until the deadline, when they are cut. Everything runs on the current runtime and
    /// has ended when this returns; dropping the future ends it all as well.
    pub async fn serve<A, F>(self, listener: TcpListener, app: A, shutdown: F) -> Stopped
    where
        A: Into<App>,
        F: Future<Output = Instant>,
    {
        Rejected::start_at_zero();
        let cut = CancellationToken::new();
        let _end = cut.clone().drop_guard();
        let tracker = Tracker::new(self.max_connections);
        let shared = Arc::new(self.shared(app.into()));

        let mut accepting = Accepting::new(&listener, &tracker);
        let mut shutdown = pin!(shutdown);
        let deadline = loop {
            let (socket, peer, slot) = tokio::select! {
                biased;
                deadline = shutdown.as_mut() => break deadline,
                accepted = accepting.next() => accepted,
            };
            let connection = Connection::open(&tracker, cut.child_token(), slot);
            let serving = Arc::clone(&shared);
            shared.tasks.spawn(async move { serving.serve(socket, peer, connection).await });
        };
        drop(listener);

        shared.drain.cancel();
        shared.tasks.close();
        if timeout_at(deadline, shared.tasks.wait()).await.is_ok() {
            return Stopped { requests_cut: 0 };
        }
        let requests_cut = tracker.requests();
        cut.cancel();
        // Only a handler that blocks its thread fails to notice.
        if timeout(CUT, shared.tasks.wait()).await.is_err() {
            tracing::warn!(
                target: log_targets::SERVER,
                "a request handler blocks its thread and could not be stopped"
            );
        }
        Stopped { requests_cut }
    }

    fn shared(self, app: App) -> Shared {
        let limits = Limits {
            header: self.header_timeout,
            idle: self.idle_timeout,
            stall: self.header_timeout.saturating_mul(STALL_FACTOR),
        };
        let drain = CancellationToken::new();
        let (stopping, max_connections) = (drain.clone(), self.max_connections);
        Shared {
            app,
            #[cfg(feature = "tls")]
            tls: self.tls.map(TlsAcceptor::from),
            limits,
            drain,
            tasks: TaskTracker::new(),
            context: Arc::new(ServerContext { stopping, max_connections }),
        }
    }
}

/// A problem lasts until it has not occurred for this long, so that a problem that alternates with
/// every connection is logged once.
const QUIET: Duration = Duration::from_secs(10);

/// A problem that is logged when it begins and when it is over, not each time it occurs.
#[derive(Debug, Default)]
struct LoggedCondition {
    last_met: Option<Instant>,
}

impl LoggedCondition {
    /// Records an occurrence; true if it has just begun.
    fn begins(&mut self) -> bool {
        self.last_met.replace(Instant::now()).is_none()
    }

    /// Records that it did not occur; true if it is over.
    fn ends(&mut self) -> bool {
        let over = self.last_met.is_some_and(|met| met.elapsed() >= QUIET);
        if over {
            self.last_met = None;
        }
        over
    }
}

/// The accepting side: its current problems, and the pause after the next failure.
struct Accepting<'a> {
    listener: &'a TcpListener,
    tracker: &'a Tracker,
    full: LoggedCondition,
    failing: LoggedCondition,
    pause: Duration,
}

impl<'a> Accepting<'a> {
    fn new(listener: &'a TcpListener, tracker: &'a Tracker) -> Self {
        let (full, failing) = (LoggedCondition::default(), LoggedCondition::default());
        Self { listener, tracker, full, failing, pause: PAUSES.0 }
    }

    /// The next connection that has a slot.
    async fn next(&mut self) -> (TcpStream, SocketAddr, Slot) {
        loop {
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    self.succeeded();
                    if let Some(slot) = self.slot().await {
                        // Without it small answers may wait for the client's acknowledgements.
                        if let Err(error) = socket.set_nodelay(true) {
                            tracing::debug!(
                                target: log_targets::SERVER,
                                %error, "cannot set TCP_NODELAY"
                            );
                        }
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        return (socket, peer, slot);
                    }
                    Rejected::ConnectionLimit.count();
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => self.failed(&error).await,
            }
        }
    }

    /// A slot: a free one, or that of the connection idle longest.
    async fn slot(&mut self) -> Option<Slot> {
        let free = self.tracker.free_slot();
        if free.is_some() {
            if self.full.ends() {
                tracing::info!(target: log_targets::SERVER, "connections are free again");
            }
            return free;
        }
        if self.tracker.evict() {
            Rejected::EvictedIdle.count();
            // It ends at its next poll, so that never more than the cap are open.
            return self.tracker.freed_slot().await;
        }
        if self.full.begins() {
            tracing::warn!(
                target: log_targets::SERVER,
                "every connection is busy: new ones are refused"
            );
        }
        None
    }

    /// Waits after an accept that failed for lack of descriptors or memory.
    async fn failed(&mut self, error: &io::Error) {
        if self.failing.begins() {
            tracing::error!(
                target: log_targets::SERVER,
                %error, "cannot accept connections; trying on"
            );
        }
        // A connection that ends frees a descriptor.
        if self.tracker.evict() {
            Rejected::EvictedIdle.count();
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    fn succeeded(&mut self) {
        self.pause = PAUSES.0;
        if self.failing.ends() {
            tracing::info!(target: log_targets::SERVER, "accepting connections again");
        }
    }
}

/// Whether an accept failed for the one connection alone, which is gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}
