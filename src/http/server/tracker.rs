//! The connection tracker: which connections are open, which of them are idle and since when, and
//! which one is closed when a new connection needs its slot.
//!
//! Input: the beginnings and ends of requests, and how far clients have read their answers. Output:
//! the connection that has been idle longest, and for each connection whether it is due to be
//! closed (`due`): after a slow request head, after idle time, or because the client does not read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A place among the connections that may be open at once.
pub(super) type Slot = OwnedSemaphorePermit;

/// Tracks every open connection.
///
/// The longest-idle one is searched for only when it must make room: keeping the idle ones in
/// order would cost every request, and at the cap a newcomer costs a handshake anyway.
#[derive(Debug)]
pub(super) struct Tracker {
    slots: Arc<Semaphore>,
    requests: AtomicUsize,
    /// Counts the times that a connection became idle.
    turns: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Tracked>>>,
}

impl Tracker {
    /// A tracker with `max` slots.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        let (requests, turns) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { slots, requests, turns, open: Mutex::default() })
    }

    /// A free slot, if there is one.
    pub(super) fn free_slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Waits for the slot of a connection that is about to end.
    pub(super) async fn freed_slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Ends the longest-idle connection; false when none is idle.
    pub(super) fn evict(&self) -> bool {
        let open = self.open();
        let idle = open.values().filter_map(|entry| Some((entry.idle_turn()?, entry)));
        let longest_idle = idle.min_by_key(|(turn, _)| *turn);
        longest_idle.is_some_and(|(_, entry)| {
            entry.end.cancel();
            true
        })
    }

    /// Requests being answered on all connections.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Tracked>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Header timeout: for a complete request head, from accept, or from the first byte of a later
    /// request.
    pub(super) header: Duration,
    /// Idle timeout: for the first byte of the next request, from the end of the last answer.
    pub(super) idle: Duration,
    /// Stall timeout: for the client to read any part of an answer that is ready.
    pub(super) stall: Duration,
}

/// What a connection's timer finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing is due before then.
    At(Instant),
    /// No complete request head arrived in time.
    Idle {
        /// True for the header timeout: a request head is incomplete, or the first request never
        /// came. False for the idle timeout after an answer.
        owed: bool,
    },
    /// The client does not read its answer.
    Stalled,
}

/// One open connection. It holds its slot until the last part of it is gone.
#[derive(Debug)]
pub(super) struct Connection {
    tracker: Arc<Tracker>,
    id: u64,
    entry: Arc<Tracked>,
    _slot: Slot,
}

/// What the tracker sees of a connection.
#[derive(Debug)]
struct Tracked {
    end: CancellationToken,
    activity: Mutex<Activity>,
}

impl Tracked {
    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn at which it became idle; `None` while it is busy or about to end.
    fn idle_turn(&self) -> Option<u64> {
        let activity = self.activity();
        (activity.busy == 0 && !self.end.is_cancelled()).then_some(activity.turn)
    }
}

/// What a connection is doing.
#[derive(Debug)]
struct Activity {
    /// Requests being answered, and one more while a write is blocked.
    busy: usize,
    /// The tracker's turn at which it became idle; meaningless while busy.
    turn: u64,
    idle_since: Instant,
    http2: bool,
    /// Requests begun so far.
    requests: u64,
    /// When the first byte came since the connection became idle.
    received_at: Option<Instant>,
    /// Answers of which a part is ready that the client has not made room for.
    waiting: usize,
    /// When the client last made room for a part of an answer.
    taken_at: Instant,
    /// Since when the socket takes no byte.
    blocked_since: Option<Instant>,
    /// Answers that are owed even to a client that has closed its sending half.
    owed: usize,
    /// Request bodies that are not read to their end.
    bodies: usize,
    /// Wakes the reader that may not see the client's end yet.
    reader: Option<Waker>,
}

impl Activity {
    fn new(turn: u64) -> Self {
        let now = Instant::now();
        Self {
            busy: 0,
            turn,
            idle_since: now,
            http2: false,
            requests: 0,
            received_at: None,
            waiting: 0,
            taken_at: now,
            blocked_since: None,
            owed: 0,
            bodies: 0,
            reader: None,
        }
    }

    /// Whether the client's end of sending ends the connection.
    ///
    /// A client that ends its sending half after its request still waits for the answer. Only where
    /// the request itself is incomplete, and where the answer has no end, is it a goodbye.
    fn may_end(&self) -> bool {
        self.owed == 0 || self.bodies > 0
    }

    fn wake_reader(&mut self) {
        if self.may_end()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

impl Connection {
    /// Enters a connection that has just been accepted; cancelling `end` ends it.
    pub(super) fn open(tracker: &Arc<Tracker>, end: CancellationToken, slot: Slot) -> Arc<Self> {
        let turn = tracker.turn();
        let entry = Arc::new(Tracked { end, activity: Mutex::new(Activity::new(turn)) });
        // No two connections become idle at the same turn, so the first of them names this one.
        tracker.open().insert(turn, Arc::clone(&entry));
        Arc::new(Self { tracker: Arc::clone(tracker), id: turn, entry, _slot: slot })
    }

    /// Cancelled when the connection is to end at once.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.entry.end
    }

    /// Records that a request head is complete; the request lasts until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, http2: bool) -> InFlight {
        self.tracker.requests.fetch_add(1, Ordering::Relaxed);
        let mut activity = self.activity();
        activity.http2 = http2;
        activity.requests += 1;
        activity.busy += 1;
        activity.owed += 1;
        drop(activity);
        InFlight { connection: Arc::clone(self), waiting: false, owed: true }
    }

    /// Records that a request's body is to be read; until the guard is dropped, the client's end of
    /// sending cuts it short.
    pub(super) fn body(self: &Arc<Self>) -> ReadingBody {
        let mut activity = self.activity();
        activity.bodies += 1;
        activity.wake_reader();
        drop(activity);
        ReadingBody(Arc::clone(self))
    }

    /// Records that bytes came in.
    pub(super) fn received(&self) {
        let mut activity = self.activity();
        if activity.received_at.is_none() {
            activity.received_at = Some(Instant::now());
        }
    }

    /// Whether the client's end of sending may be acted upon; if not, `cx` is woken once it may.
    pub(super) fn may_end(&self, cx: &Context<'_>) -> bool {
        let mut activity = self.activity();
        let may_end = activity.may_end();
        if !may_end {
            activity.reader = Some(cx.waker().clone());
        }
        may_end
    }

    /// Whether a request's body is not read to its end.
    pub(super) fn is_reading_body(&self) -> bool {
        self.activity().bodies > 0
    }

    /// The requests begun so far, while none of them is in flight.
    pub(super) fn answered(&self) -> Option<u64> {
        let activity = self.activity();
        let in_flight = activity.busy - usize::from(activity.blocked_since.is_some());
        (in_flight == 0).then_some(activity.requests)
    }

    /// Records that the socket takes no more for now: what is unsent keeps the connection busy.
    pub(super) fn blocked(&self) {
        let mut activity = self.activity();
        if activity.blocked_since.is_none() {
            activity.blocked_since = Some(Instant::now());
            activity.busy += 1;
        }
    }

    /// Records that the socket took bytes again.
    pub(super) fn unblocked(&self) {
        let mut activity = self.activity();
        if activity.blocked_since.take().is_some() {
            self.leave(&mut activity);
        }
    }

    /// Whether no request is in flight and nothing is unsent.
    pub(super) fn is_idle(&self) -> bool {
        self.activity().busy == 0
    }

    /// Whether the last request came by HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.activity().http2
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant, limits: Limits) -> Due {
        let activity = self.activity();
        if activity.busy == 0 {
            let partial = activity.received_at.filter(|_| !activity.http2);
            let (owed, at) = match partial {
                _ if activity.requests == 0 => (true, activity.idle_since + limits.header),
                Some(first_byte) => (true, first_byte + limits.header),
                None => (false, activity.idle_since + limits.idle),
            };
            if now >= at {
                return Due::Idle { owed };
            }
            // Should a request begin right after this, its head is due no sooner.
            return Due::At(at.min(now + limits.header));
        }
        let untaken = (activity.waiting > 0).then_some(activity.taken_at);
        let since = untaken.into_iter().chain(activity.blocked_since).min();
        if since.is_some_and(|since| now >= since + limits.stall) {
            return Due::Stalled;
        }
        // Should it become idle right after this, its time is up no sooner.
        Due::At(now + limits.header.min(limits.idle))
    }

    fn leave(&self, activity: &mut Activity) {
        activity.busy -= 1;
        if activity.busy == 0 {
            activity.idle_since = Instant::now();
            activity.received_at = None;
            activity.turn = self.tracker.turn();
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.entry.activity()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The tracker must forget it before its slot is free, or it would evict a dead one.
        self.tracker.open().remove(&self.id);
    }
}

/// A request in flight, from its complete head to the end of its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    connection: Arc<Connection>,
    waiting: bool,
    owed: bool,
}

impl InFlight {
    /// Records that a part of the answer is ready: from now on the client is to take it.
    pub(super) fn ready(&mut self) {
        let mut activity = self.connection.activity();
        activity.taken_at = Instant::now();
        activity.waiting += usize::from(!self.waiting);
        self.waiting = true;
    }

    /// Whether a part of the answer is ready that the client has not made room for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Records that the client has taken all there is; what comes next is up to the handler.
    ///
    /// An `endless` answer is then over for a client that has closed its sending half.
    pub(super) fn drained(&mut self, endless: bool) {
        if !self.waiting {
            return;
        }
        self.waiting = false;
        let mut activity = self.connection.activity();
        activity.waiting -= 1;
        if endless && std::mem::take(&mut self.owed) {
            activity.owed -= 1;
            activity.wake_reader();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut activity = self.connection.activity();
        activity.waiting -= usize::from(self.waiting);
        activity.owed -= usize::from(self.owed);
        activity.wake_reader();
        self.connection.leave(&mut activity);
        drop(activity);
        self.connection.tracker.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's body that is not read to its end.
#[derive(Debug)]
pub(super) struct ReadingBody(Arc<Connection>);

impl Drop for ReadingBody {
    fn drop(&mut self) {
        self.0.activity().bodies -= 1;
    }
}

#[cfg(test)]
mod tests;
