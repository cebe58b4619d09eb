//! One client's watch: the status of a name now, and each that it changes to.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Known;
use super::wire::{CheckResponse, ServingStatus};
use crate::events::Reader;

/// What a watch tells.
pub(super) type Statuses = BoxStream<'static, Result<CheckResponse, Status>>;

/// A watch. It queues nothing: a client that reads slowly is told what holds when it reads, and a
/// change that was undone meanwhile is none.
pub(super) struct Watcher {
    pub(super) known: Known,
    /// Wakes it when anything may have changed.
    pub(super) reader: Reader,
    pub(super) closed: CancellationToken,
    pub(super) name: String,
    pub(super) told: Option<ServingStatus>,
    pub(super) _place: OwnedSemaphorePermit,
}

impl Watcher {
    pub(super) fn into_stream(self) -> Statuses {
        let next = |watcher: Option<Self>| async {
            let mut watcher = watcher?;
            Some(match watcher.changed().await {
                Some(status) => (Ok(CheckResponse::of(status)), Some(watcher)),
                // A client tries again then, by the protocol, and finds another instance.
                None => (Err(Status::unavailable("the service is stopping")), None),
            })
        };
        stream::unfold(Some(self), next).boxed()
    }

    /// The next status other than the last one told; `None` once there is no more.
    async fn changed(&mut self) -> Option<ServingStatus> {
        loop {
            let status = self.known.status(&self.name).unwrap_or(ServingStatus::ServiceUnknown);
            if self.told != Some(status) {
                self.told = Some(status);
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
