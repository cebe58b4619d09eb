//! [`stop_signal`]: waits for the signal to stop the process.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to stop, by SIGTERM or SIGINT.
///
/// Both are handled from this call on: they no longer end the process by themselves. It goes into
/// [`Health::shutdown`](crate::Health::shutdown).
///
/// # Errors
/// When the system takes no handler. It panics outside a tokio runtime with I/O.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves when a graceful shutdown may begin; made by [`Health::shutdown`](crate::Health::shutdown).
///
/// It is a promise: clones resolve together, and what has resolved may be awaited again and is ready
/// at once. So one of them goes to each listener of a host, and another says when they are stopping:
///
/// ```no_run
/// use vitalsign::{Health, secs, stop_signal};
///
/// # async fn run(health: Health, inside: tokio::net::TcpListener, public: tokio::net::TcpListener,
/// #     app: axum::Router) -> std::io::Result<()> {
/// let stop = health.shutdown(stop_signal()?, secs(5));
/// let probes: axum::Router = health.router();
/// let probes = axum::serve(inside, probes).with_graceful_shutdown(stop.clone());
/// let app = axum::serve(public, app).with_graceful_shutdown(stop.clone());
/// tokio::try_join!(probes.into_future(), app.into_future())?;
/// stop.await; // it has resolved: this returns at once
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Shutdown {
    promise: Promise,
    /// What is being awaited: a promise that has resolved cannot be polled again, a clone of it can.
    awaited: Option<Promise>,
}

type Promise = Shared<BoxFuture<'static, ()>>;

impl Shutdown {
    pub(super) fn new(resolves: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { promise: resolves.boxed().shared(), awaited: None }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resolved = self.promise.peek().is_some();
        f.debug_struct("Shutdown").field("resolved", &resolved).finish_non_exhaustive()
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let awaited = this.awaited.get_or_insert_with(|| this.promise.clone());
        ready!(awaited.poll_unpin(cx));
        this.awaited = None;
        Poll::Ready(())
    }
}
