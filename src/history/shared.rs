//! State shared by the sink, the readers and the writer.

use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Mutex as AsyncMutex;

use super::aggregates::Aggregates;
use super::connection::Connection;
use super::meters::Meters;
use super::options::{HistoryOptions, Place};
use super::record::Queue;
use super::rollup::{Millis, millis};

/// The state of one history.
pub(super) struct Shared {
    pub(super) queue: std::sync::Arc<Queue>,
    pub(super) aggregates: Mutex<Aggregates>,
    pub(super) options: HistoryOptions,
    pub(super) meters: Meters,
    /// The writer's connection.
    pub(super) writer: AsyncMutex<Option<Connection>>,
    /// The readers' connection, because they must not wait for the writer.
    reader: AsyncMutex<Option<Connection>>,
    /// Id of this instance in the store; 0 until it is known.
    pub(super) instance: AtomicI64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(options: HistoryOptions) -> Self {
        let meters = Meters::register(options.place.backend(), super::record::CAPACITY);
        Self {
            queue: std::sync::Arc::default(),
            aggregates: Mutex::default(),
            options,
            meters,
            writer: AsyncMutex::default(),
            reader: AsyncMutex::default(),
            instance: AtomicI64::new(0),
        }
    }

    /// The aggregates, with all that was recorded until now.
    pub(super) fn aggregates(&self) -> MutexGuard<'_, Aggregates> {
        let mut aggregates = self.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        // The queue is emptied while the aggregates are locked, so that records of two threads stay
        // in order.
        aggregates.fold(self.queue.take(), now());
        aggregates
    }

    /// The connection for readers: a database in memory has only one connection.
    pub(super) const fn reader(&self) -> &AsyncMutex<Option<Connection>> {
        match self.options.place {
            Place::Memory => &self.writer,
            Place::File(_) | Place::Postgres(_) => &self.reader,
        }
    }
}

/// The time as the stores keep it.
pub(super) fn now() -> Millis {
    millis(SystemTime::now())
}
