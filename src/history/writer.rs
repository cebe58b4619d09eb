//! The writer: one task on its own thread that writes the aggregates to the store.
//!
//! It empties the queue once a second, whatever the state of the store is, and writes every ten
//! seconds, or within one second after a status change.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep, timeout_at};

use super::connection::Connection;
use super::error::{HistoryError, StoreError};
use super::lock::FileLock;
use super::options::Place;
use super::rollup::Millis;
use super::shared::{Shared, now};
use super::write::{self, FlushReason};
use super::{load, prune, schema};
use crate::model::log_targets;

/// Time from one look at the queue to the next, and longest until a status change is written.
const TICK: Duration = Duration::from_secs(1);

/// Longest that a run waits to be written while the store works.
const FLUSH: Duration = Duration::from_secs(10);

/// Longest time for a request to a server; after that the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time between two attempts while the store does not work.
const RETRY: Duration = Duration::from_secs(10);

/// How long the caller waits for a file that other processes are opening.
const START: Duration = Duration::from_millis(1_500);

/// Time between two attempts to open such a file.
const RACE: Duration = Duration::from_millis(50);

const PRUNE: Duration = Duration::from_mins(1);
const TIDY: Duration = Duration::from_hours(1);

/// Commands for the writer.
#[derive(Debug)]
pub(super) enum Command {
    /// Write all pending records now, and report when that is done or has failed.
    Flush(oneshot::Sender<()>),
    /// Write pending records until then, and end.
    Close(Instant, oneshot::Sender<()>),
}

/// The task and its state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Whether the data of the store was loaded.
    loaded: bool,
    /// Whether the store works; `None` before the first attempt.
    up: Option<bool>,
    retry_at: Instant,
    pause: Duration,
    flushed_at: Instant,
    pruned_at: Option<Instant>,
    tidied_at: Option<Instant>,
    /// The right to write the file, for as long as the history is open.
    lock: Option<Arc<FileLock>>,
    /// The file that is open, by device and inode.
    file: Option<(u64, u64)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            loaded: false,
            up: None,
            retry_at: now,
            pause: TICK,
            flushed_at: now,
            pruned_at: None,
            tidied_at: None,
            lock: None,
            file: None,
        }
    }

    /// Works until a command ends it, or until no sender of commands is left.
    pub(super) async fn work(
        mut self,
        started: oneshot::Sender<Result<(), HistoryError>>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let until = Instant::now() + START;
        loop {
            match self.attempt(FlushReason::Routine).await {
                // Another process may be about to open the same file, or to end.
                Err(StoreError::Hopeless(HistoryError::InUse { .. }) | StoreError::Trouble(_))
                    if matches!(self.shared.options.place, Place::File(_))
                        && Instant::now() < until =>
                {
                    sleep(RACE).await;
                }
                Err(StoreError::Hopeless(error)) => {
                    let _ = started.send(Err(error));
                    return;
                }
                _ => break,
            }
        }
        // The caller may have stopped waiting.
        let _ = started.send(Ok(()));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                _ = ticks.tick() => None,
                command = commands.recv() => {
                    // Without any handle that could close it, it closes itself.
                    let close = || Command::Close(Instant::now() + TICK, oneshot::channel().0);
                    Some(command.unwrap_or_else(close))
                }
            };
            drain_queue(&self.shared);
            match command {
                None if self.is_due() => drop(self.attempt(FlushReason::Routine).await),
                None => {}
                Some(Command::Flush(done)) => {
                    if Instant::now() >= self.retry_at {
                        let _ = self.attempt(FlushReason::Routine).await;
                    }
                    let _ = done.send(());
                }
                Some(Command::Close(until, done)) => {
                    self.close(until).await;
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        if now < self.retry_at {
            return false;
        }
        let urgent = self.shared.aggregates().pending.is_urgent();
        urgent || self.up == Some(false) || now >= self.flushed_at + FLUSH
    }

    /// Writes to the store and records the result. The queue is emptied meanwhile.
    async fn attempt(&mut self, reason: FlushReason) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let place = &shared.options.place;
        let began = Instant::now();
        let mut slot = shared.writer.lock().await;
        let result = {
            let mut step = pin!(self.step(&mut slot, reason));
            let mut ticks = interval_at(began + TICK, TICK);
            loop {
                tokio::select! {
                    result = &mut step => break result,
                    _ = ticks.tick() => drain_queue(&shared),
                }
                if began.elapsed() < TIMEOUT {
                    continue;
                }
                shared.meters.up.set(0.0);
                // A server that is silent may be gone. SQLite's thread comes back by itself, and
                // must not be joined by others that hang like it.
                if matches!(place, Place::Postgres(_)) {
                    break Err(StoreError::Trouble("no answer in time".to_owned()));
                }
            }
        };
        if let Err(error) = &result {
            // What is half done on it is undone by its end.
            drop(slot.take());
            if let (StoreError::Corrupt(cause), Place::File(path)) = (error, place) {
                *shared.reader().lock().await = None;
                move_damaged_file(path, cause)?;
            }
            let records =
                shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner).pending.records;
            shared.meters.wrote(false, records, began.elapsed());
        }
        self.note(result.as_ref().err());
        result
    }

    /// Connects if need be, loads what is remembered if that has not been done, and writes.
    async fn step(
        &mut self,
        slot: &mut Option<Connection>,
        reason: FlushReason,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        if self.file_is_gone() {
            tracing::warn!(
                target: log_targets::HISTORY,
                "the history's file is gone; a new one is begun"
            );
            drop(slot.take());
            *shared.reader().lock().await = None;
        }
        let conn = match slot {
            Some(conn) => conn,
            None => slot.insert(self.connect().await?),
        };
        let instance = shared.instance.load(Ordering::Acquire);
        let began = Instant::now();
        let written = write::flush(conn, &shared, instance, reason).await?;
        shared.meters.wrote(true, written, began.elapsed());
        self.flushed_at = Instant::now();
        if reason == FlushReason::Routine {
            self.clean(conn, instance).await?;
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection, StoreError> {
        let shared = Arc::clone(&self.shared);
        let place = &shared.options.place;
        if let (Place::File(path), None) = (place, &self.lock) {
            self.lock = Some(FileLock::acquire(path, &shared.options.holder())?);
        }
        let mut conn = match (open(place).await, place) {
            (Err(StoreError::Corrupt(cause)), Place::File(path)) => {
                *shared.reader().lock().await = None;
                move_damaged_file(path, &cause)?;
                open(place).await?
            }
            (opened, _) => opened?,
        };
        self.file = identity(place);
        let now = now();
        let options = &shared.options;
        let instance = load::instance(&mut conn, &options.service, &options.instance, now).await?;
        shared.instance.store(instance.id, Ordering::Release);
        {
            let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
            // They may be those of another database.
            aggregates.ids = Arc::default();
            if instance.new && self.loaded {
                aggregates.renew();
            }
        }
        if !self.loaded {
            load::load(&mut conn, &shared, &instance, now).await?;
            self.loaded = true;
        }
        Ok(conn)
    }

    /// Deletes expired data from time to time.
    async fn clean(&mut self, conn: &mut Connection, instance: i64) -> Result<(), StoreError> {
        let now = Instant::now();
        let due = |last: Option<Instant>, period| last.is_none_or(|last| now >= last + period);
        let retention = self.shared.options.retention.as_millis();
        let retention = Millis::try_from(retention).unwrap_or(Millis::MAX / 4);
        if due(self.pruned_at, PRUNE) {
            prune::delete_expired(conn, instance, retention).await?;
            self.shared.meters.size.set(conn.size().await? as f64);
            self.pruned_at = Some(now);
        }
        if due(self.tidied_at, TIDY) {
            prune::delete_leftovers(conn, &self.shared, instance, retention).await?;
            self.tidied_at = Some(now);
        }
        Ok(())
    }

    /// Records whether the store works; a change is logged.
    fn note(&mut self, error: Option<&StoreError>) {
        self.shared.meters.up.set(if error.is_none() { 1.0 } else { 0.0 });
        let Some(error) = error else {
            if self.up == Some(false) {
                tracing::info!(target: log_targets::HISTORY, "the history store works again");
            }
            self.up = Some(true);
            self.pause = TICK;
            return;
        };
        if self.up != Some(false) {
            let backend = self.shared.options.place.backend();
            let cause = error.to_string();
            tracing::warn!(
                target: log_targets::HISTORY,
                backend,
                cause,
                "the history store does not work; memory keeps what it can"
            );
        }
        self.up = Some(false);
        self.retry_at = Instant::now() + self.pause;
        self.pause = (2 * self.pause).min(RETRY);
    }

    /// Writes pending data until the deadline.
    async fn close(&mut self, until: Instant) {
        let write = async {
            // The connection may have been lost unnoticed.
            match self.attempt(FlushReason::Shutdown).await {
                Ok(()) => Ok(()),
                Err(_) => self.attempt(FlushReason::Shutdown).await,
            }
        };
        let written = timeout_at(until, write).await;
        if !matches!(written, Ok(Ok(()))) {
            let mut aggregates = self.shared.aggregates();
            let records = aggregates.pending.records;
            self.shared.meters.shutdown.increment(records);
            self.shared.meters.store_unavailable.increment(aggregates.pending.take_dropped());
            tracing::warn!(
                target: log_targets::HISTORY,
                records, "the history store did not take what was left"
            );
            return;
        }
        let shared = Arc::clone(&self.shared);
        let farewell = async {
            if let Some(conn) = shared.reader().lock().await.take() {
                conn.close().await;
            }
            if let Some(conn) = shared.writer.lock().await.take() {
                conn.close().await;
            }
        };
        let _ = timeout_at(until, farewell).await;
    }

    /// Whether the open file was deleted or moved.
    fn file_is_gone(&self) -> bool {
        self.file.is_some() && self.file != identity(&self.shared.options.place)
    }
}

/// Folds the records of the queue, and publishes the metrics.
fn drain_queue(shared: &Shared) {
    shared.meters.queue(shared.queue.len());
    let given_up = shared.aggregates().pending.take_dropped();
    shared.meters.store_unavailable.increment(given_up);
    shared.meters.queue_full.increment(shared.queue.take_dropped());
}

/// Opens the store at `place` and brings its schema up to date.
async fn open(place: &Place) -> Result<Connection, StoreError> {
    let mut conn = Connection::connect(place).await?;
    schema::migrate(&mut conn).await?;
    Ok(conn)
}

/// Device and inode of the file, if there is one.
fn identity(place: &Place) -> Option<(u64, u64)> {
    let Place::File(path) = place else { return None };
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Renames a damaged file and the files that SQLite keeps beside it.
fn move_damaged_file(path: &Path, cause: &str) -> Result<(), StoreError> {
    let suffixed = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = suffixed(&format!(".corrupt-{}", now() / 1_000));
    let refused = |error: std::io::Error| HistoryError::CannotOpen {
        path: path.to_owned(),
        cause: format!("it is damaged ({cause}), and cannot be moved aside: {error}"),
    };
    std::fs::rename(path, &aside).map_err(refused)?;
    for suffix in ["-wal", "-shm"] {
        let mut name = aside.clone().into_os_string();
        name.push(suffix);
        // They are there only after a crash.
        let _ = std::fs::rename(suffixed(suffix), name);
    }
    let (path, aside) = (path.display().to_string(), aside.display().to_string());
    tracing::error!(
        target: log_targets::HISTORY,
        path,
        aside,
        cause,
        "the history's file is damaged; it was moved aside and a new one begun"
    );
    Ok(())
}
