//! Extensions that the server adds to every request for its handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// The server as a handler sees it, an extension of every request.
#[derive(Debug)]
pub(crate) struct ServerContext {
    /// Cancelled when the server stops: streams must end then.
    pub(crate) stopping: CancellationToken,
    /// Connections that may be open at once.
    pub(crate) max_connections: usize,
}

/// The limit on the size of a request's body, an extension of every request that has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyLimit(Arc<AtomicBool>);

impl BodyLimit {
    /// Takes the body whatever its size. It must then only make progress, instead of being complete
    /// within the time for a body.
    pub(crate) fn lift(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[cfg(feature = "server")]
    pub(crate) fn is_lifted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
