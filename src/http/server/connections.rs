//! Who is connected, who of them is idle and since when, and who makes room for a newcomer.
//!
//! In flow the beginnings and ends of requests, and how far clients have taken their answers; out
//! flow the connection that has been idle longest, and for each connection whether it is due to
//! be closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A place among the connections that may be open at once.
pub(super) type Slot = OwnedSemaphorePermit;

/// Every open connection.
///
/// Who has been idle longest is looked for when somebody must make room: keeping the idle ones in
/// order would cost every request, and at the cap a newcomer costs a handshake anyway.
#[derive(Debug)]
pub(super) struct Ledger {
    slots: Arc<Semaphore>,
    requests: AtomicUsize,
    /// Counts the times that a connection became idle.
    turns: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Seat>>>,
}

impl Ledger {
    /// A ledger with `max` slots.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        let (requests, turns) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { slots, requests, turns, open: Mutex::default() })
    }

    /// A free slot, if there is one.
    pub(super) fn free_slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// The slot of a connection that was told to end.
    pub(super) async fn freed_slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Tells the longest-idle connection to end; false when none is idle.
    pub(super) fn evict(&self) -> bool {
        let open = self.open();
        let idle = open.values().filter_map(|seat| Some((seat.idle_turn()?, seat)));
        let longest_idle = idle.min_by_key(|(turn, _)| *turn);
        longest_idle.is_some_and(|(_, seat)| {
            seat.end.cancel();
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

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a connection may keep the server waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a complete request head, from accept or from the end of the last answer.
    pub(super) head: Duration,
    /// For the client to take any part of an answer that is ready.
    pub(super) stall: Duration,
}

/// What a connection's timer finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing is due before then.
    At(Instant),
    /// No complete request head came in time.
    Idle {
        /// Whether a request was begun or never came at all, rather than none following the last.
        owed: bool,
    },
    /// The client takes nothing of what is ready for it.
    Stalled,
}

/// One open connection. It holds its slot until the last part of it is gone.
#[derive(Debug)]
pub(super) struct Connection {
    ledger: Arc<Ledger>,
    id: u64,
    seat: Arc<Seat>,
    _slot: Slot,
}

/// What the ledger sees of a connection.
#[derive(Debug)]
struct Seat {
    end: CancellationToken,
    standing: Mutex<Standing>,
}

impl Seat {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn at which it became idle, unless it is busy or told to end already.
    fn idle_turn(&self) -> Option<u64> {
        let standing = self.standing();
        (standing.busy == 0 && !self.end.is_cancelled()).then_some(standing.turn)
    }
}

#[derive(Debug)]
struct Standing {
    /// Requests being answered, and one more while a write is blocked.
    busy: usize,
    /// The ledger's turn at which it became idle; means nothing while busy.
    turn: u64,
    idle_since: Instant,
    http2: bool,
    served: bool,
    /// Whether bytes came since it became idle.
    received: bool,
    /// Answers of which a part is ready that the client has not made room for.
    waiting: usize,
    /// When the client last made room for a part of an answer.
    taken_at: Instant,
    /// Since when the socket takes no byte.
    blocked_since: Option<Instant>,
}

impl Connection {
    /// Enters a connection that has just been accepted; cancelling `end` ends it.
    pub(super) fn open(ledger: &Arc<Ledger>, end: CancellationToken, slot: Slot) -> Arc<Self> {
        let now = Instant::now();
        let turn = ledger.turn();
        let standing = Standing {
            busy: 0,
            turn,
            idle_since: now,
            http2: false,
            served: false,
            received: false,
            waiting: 0,
            taken_at: now,
            blocked_since: None,
        };
        let seat = Arc::new(Seat { end, standing: Mutex::new(standing) });
        // No two connections become idle at the same turn, so the first of them names this one.
        ledger.open().insert(turn, Arc::clone(&seat));
        Arc::new(Self { ledger: Arc::clone(ledger), id: turn, seat, _slot: slot })
    }

    /// Cancelled when the connection is to end at once.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.seat.end
    }

    /// Notes that a request head is complete; the request lasts until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, http2: bool) -> InFlight {
        self.ledger.requests.fetch_add(1, Ordering::Relaxed);
        let mut standing = self.standing();
        standing.http2 = http2;
        standing.served = true;
        standing.busy += 1;
        drop(standing);
        InFlight { connection: Arc::clone(self), waiting: false }
    }

    /// Notes that bytes came in.
    pub(super) fn received(&self) {
        self.standing().received = true;
    }

    /// Notes that the socket takes no more for now: what is unsent keeps the connection busy.
    pub(super) fn blocked(&self) {
        let mut standing = self.standing();
        if standing.blocked_since.is_none() {
            standing.blocked_since = Some(Instant::now());
            standing.busy += 1;
        }
    }

    /// Notes that the socket took bytes again.
    pub(super) fn unblocked(&self) {
        let mut standing = self.standing();
        if standing.blocked_since.take().is_some() {
            self.leave(&mut standing);
        }
    }

    /// Whether no request is in flight and nothing is unsent.
    pub(super) fn is_idle(&self) -> bool {
        self.standing().busy == 0
    }

    /// Whether the last request came by HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.standing().http2
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant, patience: Patience) -> Due {
        let standing = self.standing();
        if standing.busy == 0 {
            let at = standing.idle_since + patience.head;
            if now < at {
                return Due::At(at);
            }
            let partial = standing.received && !standing.http2;
            return Due::Idle { owed: !standing.served || partial };
        }
        let untaken = (standing.waiting > 0).then_some(standing.taken_at);
        let since = untaken.into_iter().chain(standing.blocked_since).min();
        if since.is_some_and(|since| now >= since + patience.stall) {
            return Due::Stalled;
        }
        // Should it become idle right after this, its time is up no sooner.
        Due::At(now + patience.head)
    }

    fn leave(&self, standing: &mut Standing) {
        standing.busy -= 1;
        if standing.busy == 0 {
            standing.idle_since = Instant::now();
            standing.received = false;
            standing.turn = self.ledger.turn();
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.seat.standing()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The ledger must forget it before its slot is free, or a dead one would be told to end.
        self.ledger.open().remove(&self.id);
    }
}

/// A request in flight, from its complete head to the end of its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    connection: Arc<Connection>,
    waiting: bool,
}

impl InFlight {
    /// Notes that a part of the answer is ready: from now on the client is to take it.
    pub(super) fn ready(&mut self) {
        let mut standing = self.connection.standing();
        standing.taken_at = Instant::now();
        standing.waiting += usize::from(!self.waiting);
        self.waiting = true;
    }

    /// Whether a part of the answer is ready that the client has not made room for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Notes that the client has taken all there is; what comes next is up to the handler.
    pub(super) fn drained(&mut self) {
        if self.waiting {
            self.waiting = false;
            self.connection.standing().waiting -= 1;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut standing = self.connection.standing();
        standing.waiting -= usize::from(self.waiting);
        self.connection.leave(&mut standing);
        drop(standing);
        self.connection.ledger.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { head: Duration::from_secs(10), stall: Duration::from_secs(30) };

    fn open(ledger: &Arc<Ledger>) -> Arc<Connection> {
        let slot = ledger.free_slot().expect("a slot is free");
        Connection::open(ledger, CancellationToken::new(), slot)
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_a_busy_one_never_does() {
        let ledger = Ledger::new(3);
        let [first, second, third] = [open(&ledger), open(&ledger), open(&ledger)];
        assert!(ledger.free_slot().is_none());
        drop(first.request(false));
        let busy = third.request(false);

        assert!(ledger.evict());
        assert!(second.end().is_cancelled() && !first.end().is_cancelled());
        assert!(ledger.evict());
        assert!(first.end().is_cancelled() && !third.end().is_cancelled());
        assert!(!ledger.evict(), "the third is busy");
        drop(busy);
        assert!(ledger.evict() && third.end().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gone_connection_frees_its_slot_and_leaves_the_queue() {
        let ledger = Ledger::new(1);
        let connection = open(&ledger);
        let request = connection.request(false);
        drop(connection);
        assert!(ledger.free_slot().is_none(), "its request still holds it");
        drop(request);
        assert!(ledger.free_slot().is_some() && !ledger.evict());
        assert_eq!(ledger.requests(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_from_accept_and_again_from_the_last_answer() {
        let ledger = Ledger::new(1);
        let connection = open(&ledger);
        let start = Instant::now();
        assert_eq!(connection.due(start, PATIENCE), Due::At(start + PATIENCE.head));
        tokio::time::advance(Duration::from_secs(4)).await;
        let request = connection.request(false);
        tokio::time::advance(Duration::from_secs(100)).await;
        drop(request);
        let ended = Instant::now();
        assert_eq!(connection.due(ended, PATIENCE), Due::At(ended + PATIENCE.head));
        let late = ended + PATIENCE.head;
        assert_eq!(connection.due(late, PATIENCE), Due::Idle { owed: false });
        connection.received();
        assert_eq!(connection.due(late, PATIENCE), Due::Idle { owed: true });
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_that_waits_for_its_client_stalls() {
        let ledger = Ledger::new(1);
        let connection = open(&ledger);
        let mut request = connection.request(true);
        tokio::time::advance(PATIENCE.stall * 2).await;
        let quiet = connection.due(Instant::now(), PATIENCE);
        assert!(matches!(quiet, Due::At(_)), "an idle stream stays: {quiet:?}");

        request.ready();
        tokio::time::advance(PATIENCE.stall).await;
        assert_eq!(connection.due(Instant::now(), PATIENCE), Due::Stalled);
        request.drained();
        assert!(matches!(connection.due(Instant::now(), PATIENCE), Due::At(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_socket_keeps_the_connection_busy_until_it_stalls() {
        let ledger = Ledger::new(1);
        let connection = open(&ledger);
        connection.blocked();
        assert!(!connection.is_idle() && !ledger.evict());
        tokio::time::advance(PATIENCE.stall).await;
        assert_eq!(connection.due(Instant::now(), PATIENCE), Due::Stalled);
        connection.unblocked();
        assert!(connection.is_idle() && ledger.evict());
    }
}
