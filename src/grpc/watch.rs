//! One client's watch: sends the current status of a name, and each new status.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Known;
use crate::events::Reader;
use crate::model::grpc_health::{HealthCheckResponse, ServingStatus};

/// The answers that a watch sends.
pub(super) type Statuses = BoxStream<'static, Result<HealthCheckResponse, Status>>;

/// A watch. It has no queue: a client that reads slowly gets the status at the time it reads, and
/// misses changes that were reverted meanwhile.
pub(super) struct Watcher {
    pub(super) known: Known,
    /// Wakes it when anything may have changed.
    pub(super) reader: Reader,
    pub(super) closed: CancellationToken,
    pub(super) name: String,
    pub(super) last_sent: Option<ServingStatus>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Watcher {
    pub(super) fn into_stream(self) -> Statuses {
        let next = |watcher: Option<Self>| async {
            let mut watcher = watcher?;
            Some(match watcher.changed().await {
                Some(status) => (Ok(HealthCheckResponse::of(status)), Some(watcher)),
                // By the protocol the client then retries, and finds another instance.
                None => (Err(Status::unavailable("the service is stopping")), None),
            })
        };
        stream::unfold(Some(self), next).boxed()
    }

    /// The next status that differs from the last one sent; `None` when the service stops.
    async fn changed(&mut self) -> Option<ServingStatus> {
        loop {
            let status = self.known.status(&self.name).unwrap_or(ServingStatus::ServiceUnknown);
            if self.last_sent != Some(status) {
                self.last_sent = Some(status);
                return Some(status);
            }
            let awake = tokio::select! {
                () = self.closed.cancelled() => false,
                awake = self.reader.woken() => awake,
            };
            if !awake {
                return None;
            }
        }
    }
}
