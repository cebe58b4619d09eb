//! When to stop, for a host that has no opinion of its own.

use std::future::Future;
use std::io;

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
