//! The feed: the latest status changes, for any number of readers at their own pace.
//!
//! The feed is a [`Sink`]: it gets the recorder's events and keeps the changes in a ring, in order.
//! Publishing a change costs the same however many readers there are, as a separate task wakes them.
//! A reader is only a position in the ring. A slow reader costs the others nothing, and learns how
//! many changes it missed once the ring has gone past it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, Stream};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::model::{CheckInfo, Event, ServiceStatus, Sink, Transition};

/// Changes that are kept for readers who lag or come back.
const KEPT: usize = 1_000;

/// Time from one round to the next while nothing else calls for one.
const ROUND: Duration = Duration::from_secs(15);

/// Shortest time between two wakings: a burst of changes wakes every reader once, not for each.
const PAUSE: Duration = Duration::from_millis(20);

/// A change of a check's status, as [`Health::subscribe`](crate::Health::subscribe) yields it.
#[derive(Debug, Clone)]
pub struct StatusChange {
    /// The check.
    pub check: Arc<CheckInfo>,
    /// What changed, when and why.
    pub transition: Transition,
}

/// The number of status changes that were not delivered, as they came faster than they were read.
///
/// What follows in the stream is newer; [`HealthState`](crate::HealthState) has the current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} status changes were missed")]
pub struct Missed(pub u64);

/// The status changes from the moment of subscription on, in the order in which they came.
///
/// It ends when the last clone of its [`Health`](crate::Health) is dropped, which it does not keep
/// alive. It may be read as slowly as one likes: the latest 1,000 changes are kept for all
/// subscribers together, and one that falls behind further gets [`Missed`].
pub struct Subscription(BoxStream<'static, Result<StatusChange, Missed>>);

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Stream for Subscription {
    type Item = Result<StatusChange, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

/// A change in the ring, with its form on the wire, which is made on first use.
#[derive(Debug)]
pub(crate) struct Published {
    change: StatusChange,
    /// Without details, and with them.
    shown: [OnceLock<Bytes>; 2],
}

impl Published {
    fn id(&self) -> u64 {
        self.change.transition.id
    }

    /// What `show` makes of the change: made once for all readers with the same right to details.
    pub(crate) fn shown(&self, details: bool, show: impl FnOnce(&StatusChange) -> Bytes) -> Bytes {
        self.shown[usize::from(details)].get_or_init(|| show(&self.change)).clone()
    }
}

/// A point of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// How many changes came before it.
    pub(crate) position: u64,
    /// Id of the last one before it.
    pub(crate) id: u64,
    /// The round that it belongs to.
    pub(crate) round: u64,
}

/// Where the ring begins: it has every change with a greater id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) id: u64,
    /// Whether that is the id of a change, which made room, rather than the moment of the start.
    pub(crate) is_change: bool,
}

#[derive(Debug)]
struct Ring {
    kept: VecDeque<Arc<Published>>,
    /// Changes that are kept at most.
    capacity: usize,
    /// How many changes came before the first that is kept.
    gone: u64,
    floor: Floor,
    round: u64,
}

impl Ring {
    fn end(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }

    fn at(&self, position: u64) -> Option<&Arc<Published>> {
        let index = usize::try_from(position.checked_sub(self.gone)?).ok()?;
        self.kept.get(index)
    }
}

/// The latest changes, and how to wake the readers when another comes.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: Mutex<Ring>,
    bell: Notify,
    woken: watch::Receiver<()>,
}

/// Wakes the readers; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct ReaderNotifier {
    feed: Arc<Feed>,
    woken: watch::Sender<()>,
}

impl Feed {
    /// An empty feed, and the notifier of its readers.
    pub(crate) fn new() -> (Arc<Self>, ReaderNotifier) {
        Self::keeping(KEPT)
    }

    fn keeping(capacity: usize) -> (Arc<Self>, ReaderNotifier) {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let id = since_1970.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(0));
        let ring = Ring {
            kept: VecDeque::with_capacity(capacity),
            capacity,
            gone: 0,
            floor: Floor { id, is_change: false },
            round: 0,
        };
        let (sender, woken) = watch::channel(());
        let feed = Arc::new(Self { ring: Mutex::new(ring), bell: Notify::new(), woken });
        let notifier = ReaderNotifier { feed: Arc::clone(&feed), woken: sender };
        (feed, notifier)
    }

    /// Where the feed is now.
    pub(crate) fn mark(&self) -> Mark {
        let ring = self.ring();
        let id = ring.kept.back().map_or(ring.floor.id, |newest| newest.id());
        Mark { position: ring.end(), id, round: ring.round }
    }

    /// A reader of what comes after `mark`.
    pub(crate) fn reader(self: &Arc<Self>, mark: Mark) -> Reader {
        self.reader_at(mark.position, mark.round)
    }

    /// A reader of what came after the change `id`; where the ring does not reach back that far, of
    /// all that it has, and where that begins.
    pub(crate) fn reader_after(self: &Arc<Self>, id: u64) -> (Reader, Option<Floor>) {
        let ring = self.ring();
        // Two checks may change so close to each other that the greater id comes first. A reader
        // that has seen a change of the ring continues right after that change.
        let seen = ring.kept.iter().position(|change| change.id() == id);
        let index = seen.map(|at| at + 1).or_else(|| {
            let newer = || ring.kept.iter().position(|change| change.id() > id);
            (id >= ring.floor.id).then(|| newer().unwrap_or(ring.kept.len()))
        });
        let floor = index.is_none().then_some(ring.floor);
        let position = ring.gone + index.unwrap_or(0) as u64;
        let round = ring.round;
        drop(ring);
        (self.reader_at(position, round), floor)
    }

    /// The changes from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let reader = self.reader(self.mark());
        let changes = stream::unfold(reader, async |mut reader| {
            loop {
                let item = match reader.take() {
                    Some(Taken::Change(published)) => Ok(published.change.clone()),
                    Some(Taken::Missed(count)) => Err(Missed(count)),
                    Some(Taken::Round(_)) => continue,
                    None if reader.woken().await => continue,
                    None => return None,
                };
                return Some((item, reader));
            }
        });
        Subscription(changes.boxed())
    }

    fn reader_at(self: &Arc<Self>, position: u64, round: u64) -> Reader {
        Reader { feed: Arc::clone(self), woken: self.woken.clone(), position, round }
    }

    fn publish(&self, change: StatusChange) {
        let published = Arc::new(Published { change, shown: Default::default() });
        let mut ring = self.ring();
        let oldest = if ring.kept.len() < ring.capacity { None } else { ring.kept.pop_front() };
        if let Some(oldest) = &oldest {
            ring.gone += 1;
            let id = oldest.id();
            if id > ring.floor.id || !ring.floor.is_change {
                ring.floor = Floor { id, is_change: true };
            }
        }
        ring.kept.push_back(published);
        drop(ring);
        self.bell.notify_one();
    }

    fn next_round(&self) {
        self.ring().round += 1;
        self.bell.notify_one();
    }

    /// Locks the ring, never for long: nothing is done with it but to push, count and look up.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Feed {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        match event {
            Event::Transition(transition) => self
                .publish(StatusChange { check: Arc::clone(info), transition: transition.clone() }),
            // There is no change that says that a check was removed.
            Event::Removed => self.next_round(),
            Event::Run { .. } | Event::Observed(_) | Event::Skipped(_) | Event::Maintenance(_) => {}
        }
    }

    fn service(&self, _: ServiceStatus, _: SystemTime) {
        self.next_round();
    }
}

impl ReaderNotifier {
    /// Wakes the readers when there is something for them, and starts a round every 15 s.
    pub(crate) async fn run(self) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rounds.tick().await;
        loop {
            tokio::select! {
                () = self.feed.bell.notified() => {}
                _ = rounds.tick() => self.feed.next_round(),
            }
            self.woken.send_replace(());
            sleep(PAUSE).await;
        }
    }
}

/// A position in the feed.
#[derive(Debug)]
pub(crate) struct Reader {
    feed: Arc<Feed>,
    woken: watch::Receiver<()>,
    position: u64,
    round: u64,
}

/// What a reader finds next.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A change.
    Change(Arc<Published>),
    /// The ring went past the reader, by so many changes.
    Missed(u64),
    /// Another round has begun: the reader sends the whole again.
    Round(u64),
}

impl Reader {
    /// How many changes came before the next one that it takes.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// What is next; `None` when it has caught up.
    ///
    /// A new round comes before anything else. So a summary that is made once a round has begun is at
    /// no earlier position than any reader that has not seen the round yet.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let ring = self.feed.ring();
        if ring.round != self.round {
            self.round = ring.round;
            return Some(Taken::Round(ring.round));
        }
        let missed = ring.gone.saturating_sub(self.position);
        if missed > 0 {
            self.position = ring.gone;
            return Some(Taken::Missed(missed));
        }
        let change = ring.at(self.position).cloned()?;
        self.position += 1;
        Some(Taken::Change(change))
    }

    /// Waits until there may be more to take; false when nothing will ever come again.
    pub(crate) async fn woken(&mut self) -> bool {
        self.woken.changed().await.is_ok()
    }
}
