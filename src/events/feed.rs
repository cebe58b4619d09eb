//! The rings of the feed, and its readers.
//!
//! A *round* is a tick for summaries: every stream of `/events` sends one summary per round. A
//! round starts every 15 s, and at once when the service's status changes or a check is removed.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::health_event::{HealthEvent, StatusChange};
use super::known::Known;
use super::ring::{Next, Ring};
use super::subscription::{Missed, Subscription};
use crate::model::{CheckInfo, Event, ServiceStatus, Sink, Transition};

/// Number of changes that are kept for readers that are slow or reconnect, and of events.
const KEPT: usize = 1_000;

/// Interval of periodic summaries.
pub(super) const ROUND: Duration = Duration::from_secs(15);

/// Shortest time between two wake-ups: a burst of changes wakes every reader only once.
const PAUSE: Duration = Duration::from_millis(20);

/// A change in the ring, with its encoded form, which is created at first use.
#[derive(Debug)]
pub(crate) struct Published {
    change: StatusChange,
    /// Without details, and with them.
    shown: [OnceLock<Bytes>; 2],
}

impl Published {
    pub(super) fn id(&self) -> u64 {
        self.change.transition.id
    }

    /// The change encoded by `show`: encoded once for all readers with the same access to details.
    pub(crate) fn shown(&self, details: bool, show: impl FnOnce(&StatusChange) -> Bytes) -> Bytes {
        self.shown[usize::from(details)].get_or_init(|| show(&self.change)).clone()
    }
}

/// A position in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedPosition {
    /// Number of changes before it.
    pub(crate) position: u64,
    /// Id of the last one before it.
    pub(crate) id: u64,
    /// The round that it belongs to.
    pub(crate) round: u64,
}

/// The start of the ring: it has every change with a greater id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OldestKept {
    pub(crate) id: u64,
    /// Whether that is the id of a dropped change, and not the time of the start.
    pub(crate) is_change: bool,
}

/// What the feed holds.
#[derive(Debug)]
pub(super) struct Kept {
    /// The status changes of checks.
    pub(super) changes: Ring<Published>,
    pub(super) floor: OldestKept,
    round: u64,
    /// Events of every sort.
    events: Ring<HealthEvent>,
    known: Known,
}

impl Kept {
    /// Keeps a status change of a check.
    fn change(&mut self, check: &Arc<CheckInfo>, transition: &Transition) {
        let change = self.known.transition(check, transition);
        self.events.push(Arc::new(HealthEvent::Check(change.clone())));
        let published = Arc::new(Published { change, shown: Default::default() });
        if let Some(oldest) = self.changes.push(published) {
            let id = oldest.id();
            if id > self.floor.id || !self.floor.is_change {
                self.floor = OldestKept { id, is_change: true };
            }
        }
    }

    fn event(&mut self, event: HealthEvent) {
        self.events.push(Arc::new(event));
    }
}

/// The latest changes, and how to wake the readers when another comes.
#[derive(Debug)]
pub(crate) struct Feed {
    kept: Mutex<Kept>,
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

    pub(super) fn keeping(capacity: usize) -> (Arc<Self>, ReaderNotifier) {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let id = since_1970.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(0));
        let kept = Kept {
            changes: Ring::new(capacity),
            floor: OldestKept { id, is_change: false },
            round: 0,
            events: Ring::new(capacity),
            known: Known::new(),
        };
        let (sender, woken) = watch::channel(());
        let feed = Arc::new(Self { kept: Mutex::new(kept), bell: Notify::new(), woken });
        let notifier = ReaderNotifier { feed: Arc::clone(&feed), woken: sender };
        (feed, notifier)
    }

    /// Where the feed is now.
    pub(crate) fn mark(&self) -> FeedPosition {
        let kept = self.kept();
        let id = kept.changes.iter().next_back().map_or(kept.floor.id, |newest| newest.id());
        FeedPosition { position: kept.changes.end(), id, round: kept.round }
    }

    /// A reader of what comes after `mark`.
    pub(crate) fn reader(self: &Arc<Self>, mark: FeedPosition) -> Reader {
        self.reader_at(mark.position, mark.round)
    }

    /// A reader of what came after the change `id`; where the ring does not reach back that far, of
    /// all that it has, and where that begins.
    pub(crate) fn reader_after(self: &Arc<Self>, id: u64) -> (Reader, Option<OldestKept>) {
        let kept = self.kept();
        // Two checks may change so close to each other that the greater id comes first. A reader
        // that has seen a change of the ring continues right after that change.
        let changes = &kept.changes;
        let seen = changes.iter().position(|change| change.id() == id);
        let index = seen.map(|at| at + 1).or_else(|| {
            let newer = || changes.iter().position(|change| change.id() > id);
            (id >= kept.floor.id).then(|| newer().unwrap_or(changes.iter().len()))
        });
        let floor = index.is_none().then_some(kept.floor);
        let position = changes.start() + index.unwrap_or(0) as u64;
        let round = kept.round;
        drop(kept);
        (self.reader_at(position, round), floor)
    }

    /// What happens from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        Subscription::new(stream::unfold(EventReader::new(self), async |mut reader| {
            let event = reader.next().await?;
            Some((event, reader))
        }))
    }

    fn reader_at(self: &Arc<Self>, position: u64, round: u64) -> Reader {
        Reader { feed: Arc::clone(self), woken: self.woken.clone(), position, round }
    }

    /// Changes what is kept, and has the readers woken.
    fn publish(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept());
        self.bell.notify_one();
    }

    pub(super) fn next_round(&self) {
        self.publish(|kept| kept.round += 1);
    }

    /// Locks what is kept, never for long: nothing is done with it but to push, count and look up.
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Feed {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        match event {
            Event::Transition(transition) => self.publish(|kept| kept.change(info, transition)),
            // There is no change on `/events` that says that a check was removed: a summary does.
            Event::Removed => self.publish(|kept| {
                kept.known.remove(info);
                kept.event(HealthEvent::Removed(Arc::clone(info)));
                kept.round += 1;
            }),
            Event::Maintenance(maintenance) => self.publish(|kept| {
                let change = kept.known.maintain(info, maintenance);
                kept.event(HealthEvent::Maintenance(change));
            }),
            Event::Run { .. } | Event::Observed(_) | Event::Skipped(_) => {}
        }
    }

    fn service(&self, status: ServiceStatus, since: SystemTime) {
        self.publish(|kept| {
            let change = kept.known.service(status, since);
            kept.event(HealthEvent::Service(change));
            kept.round += 1;
        });
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
pub(crate) enum FeedItem {
    /// A change.
    Change(Arc<Published>),
    /// The ring went past the reader, by so many changes.
    Missed(u64),
    /// A new round has begun: the reader sends a summary.
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
    pub(crate) fn take(&mut self) -> Option<FeedItem> {
        let kept = self.feed.kept();
        if kept.round != self.round {
            self.round = kept.round;
            return Some(FeedItem::Round(kept.round));
        }
        Some(match kept.changes.next(&mut self.position)? {
            Next::Item(change) => FeedItem::Change(Arc::clone(change)),
            Next::Missed(count) => FeedItem::Missed(count),
        })
    }

    /// Waits until there may be more to take; false when nothing will ever come again.
    pub(crate) async fn woken(&mut self) -> bool {
        self.woken.changed().await.is_ok()
    }
}

/// A position among the events of every sort.
#[derive(Debug)]
struct EventReader {
    feed: Arc<Feed>,
    woken: watch::Receiver<()>,
    position: u64,
}

impl EventReader {
    /// A reader of what comes from now on.
    fn new(feed: &Arc<Feed>) -> Self {
        let position = feed.kept().events.end();
        Self { feed: Arc::clone(feed), woken: feed.woken.clone(), position }
    }

    /// Waits for the next event; `None` when none will ever come again.
    async fn next(&mut self) -> Option<Result<HealthEvent, Missed>> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            self.woken.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Result<HealthEvent, Missed>> {
        let kept = self.feed.kept();
        Some(match kept.events.next(&mut self.position)? {
            Next::Item(event) => Ok(HealthEvent::clone(event)),
            Next::Missed(count) => Err(Missed(count)),
        })
    }
}
