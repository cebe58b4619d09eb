use super::*;

const LIMITS: Limits = Limits {
    header: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    stall: Duration::from_secs(30),
};

fn open(tracker: &Arc<Tracker>) -> Arc<Connection> {
    let slot = tracker.free_slot().expect("a slot is free");
    Connection::open(tracker, CancellationToken::new(), slot)
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_makes_room_and_a_busy_one_never_does() {
    let tracker = Tracker::new(3);
    let [first, second, third] = [open(&tracker), open(&tracker), open(&tracker)];
    assert!(tracker.free_slot().is_none());
    drop(first.request(false));
    let busy = third.request(false);

    assert!(tracker.evict());
    assert!(second.end().is_cancelled() && !first.end().is_cancelled());
    assert!(tracker.evict());
    assert!(first.end().is_cancelled() && !third.end().is_cancelled());
    assert!(!tracker.evict(), "the third is busy");
    drop(busy);
    assert!(tracker.evict() && third.end().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_gone_connection_frees_its_slot_and_leaves_the_queue() {
    let tracker = Tracker::new(1);
    let connection = open(&tracker);
    let request = connection.request(false);
    drop(connection);
    assert!(tracker.free_slot().is_none(), "its request still holds it");
    drop(request);
    assert!(tracker.free_slot().is_some() && !tracker.evict());
    assert_eq!(tracker.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_due_from_accept_and_again_from_the_first_byte_of_the_next() {
    let tracker = Tracker::new(1);
    let connection = open(&tracker);
    let start = Instant::now();
    assert_eq!(connection.due(start, LIMITS), Due::At(start + LIMITS.header));
    tokio::time::advance(Duration::from_secs(4)).await;
    let request = connection.request(false);
    tokio::time::advance(Duration::from_secs(100)).await;
    drop(request);
    let ended = Instant::now();
    assert_eq!(connection.due(ended, LIMITS), Due::At(ended + LIMITS.header));
    let late = ended + LIMITS.idle;
    let nearly = late - Duration::from_secs(1);
    assert_eq!(connection.due(nearly, LIMITS), Due::At(late));
    assert_eq!(connection.due(late, LIMITS), Due::Idle { owed: false });
    tokio::time::advance(LIMITS.header * 2).await;
    connection.received();
    let due = Instant::now() + LIMITS.header;
    assert_eq!(connection.due(Instant::now(), LIMITS), Due::At(due));
    assert_eq!(connection.due(due, LIMITS), Due::Idle { owed: true });
}

#[tokio::test(start_paused = true)]
async fn only_an_answer_that_waits_for_its_client_stalls() {
    let tracker = Tracker::new(1);
    let connection = open(&tracker);
    let mut request = connection.request(true);
    tokio::time::advance(LIMITS.stall * 2).await;
    let quiet = connection.due(Instant::now(), LIMITS);
    assert!(matches!(quiet, Due::At(_)), "an idle stream stays: {quiet:?}");

    request.ready();
    tokio::time::advance(LIMITS.stall).await;
    assert_eq!(connection.due(Instant::now(), LIMITS), Due::Stalled);
    request.drained(false);
    assert!(matches!(connection.due(Instant::now(), LIMITS), Due::At(_)));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_socket_keeps_the_connection_busy_until_it_stalls() {
    let tracker = Tracker::new(1);
    let connection = open(&tracker);
    connection.blocked();
    assert!(!connection.is_idle() && !tracker.evict());
    tokio::time::advance(LIMITS.stall).await;
    assert_eq!(connection.due(Instant::now(), LIMITS), Due::Stalled);
    connection.unblocked();
    assert!(connection.is_idle() && tracker.evict());
}
