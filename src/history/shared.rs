//! What the sink, the readers and the writer share.

use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Mutex as AsyncMutex;

use super::books::Books;
use super::connection::Connection;
use super::meters::Meters;
use super::options::{HistoryOptions, Place};
use super::record::Queue;
use super::rollup::{Millis, millis};

/// See the module's.
pub(super) struct Shared {
    pub(super) queue: std::sync::Arc<Queue>,
    pub(super) books: Mutex<Books>,
    pub(super) options: HistoryOptions,
    pub(super) meters: Meters,
    /// The writer's connection.
    pub(super) writer: AsyncMutex<Option<Connection>>,
    /// The readers', for they must not wait while the writer does.
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
            books: Mutex::default(),
            options,
            meters,
            writer: AsyncMutex::default(),
            reader: AsyncMutex::default(),
            instance: AtomicI64::new(0),
        }
    }

    /// The books, with all that was recorded until now.
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken with the books locked, so that nothing overtakes what another thread took.
        books.fold(self.queue.take(), now());
        books
    }

    /// The connection that readers use: a database in memory has but one.
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
