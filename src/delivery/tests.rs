//! The sender against a receiver that a test scripts, on a clock that stands still unless waited on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{ErrorType, Exporter, Failure, Handle, Resend, Retry, RetryPolicy, Sender, Source};

const SECOND: Duration = Duration::from_secs(1);

/// What the receiver does with one request.
#[derive(Clone, Copy)]
enum Reply {
    Take,
    Fail(Retry),
    Hang,
}

/// What happened, each with the seconds since the start of the test.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<(String, u64)>>>);

impl Journal {
    fn write(&self, what: String, start: Instant) {
        self.0.lock().unwrap().push((what, start.elapsed().as_secs()));
    }

    fn take(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Numbers {
    waiting: Arc<Mutex<VecDeque<u32>>>,
    added: Arc<Notify>,
    journal: Journal,
    start: Instant,
    /// Whether a request stays in the queue until it is settled.
    newest: bool,
}

impl Source for Numbers {
    type Request = u32;
    type Accepted = ();

    async fn ready(&mut self) {
        self.added.notified().await;
    }

    fn next(&mut self) -> Option<u32> {
        let mut waiting = self.waiting.lock().unwrap();
        if self.newest { waiting.back().copied() } else { waiting.pop_front() }
    }

    fn delivered(&mut self, _: u32, (): ()) -> u64 {
        if self.newest {
            self.waiting.lock().unwrap().clear();
        }
        0
    }

    fn given_up(&mut self, request: u32, failure: &Failure) -> u64 {
        if self.newest {
            self.waiting.lock().unwrap().clear();
        }
        let text = format!("{request} given up: {}", failure.detail);
        self.journal.write(text, self.start);
        1
    }
}

struct Receiver {
    replies: VecDeque<Reply>,
    journal: Journal,
    start: Instant,
}

impl Exporter<Numbers> for Receiver {
    async fn send(&mut self, request: &u32) -> Result<(), Failure> {
        self.journal.write(format!("{request} sent"), self.start);
        match self.replies.pop_front().unwrap_or(Reply::Take) {
            Reply::Take => Ok(()),
            Reply::Fail(retry) => {
                Err(Failure { error_type: ErrorType::Other, detail: "refused".to_owned(), retry })
            }
            Reply::Hang => std::future::pending().await,
        }
    }
}

struct Scene {
    waiting: Arc<Mutex<VecDeque<u32>>>,
    added: Arc<Notify>,
    journal: Journal,
    handle: Handle,
    ended: oneshot::Receiver<(u64, Option<u32>)>,
}

impl Scene {
    /// A sender with pauses of 1 s, 2 s and 4 s, each with up to half as much at random.
    fn new(resend: Resend, replies: &[Reply]) -> Self {
        let (waiting, added, journal) = (Arc::default(), Arc::default(), Journal::default());
        let start = Instant::now();
        let newest = matches!(resend, Resend::Newest);
        let source = Numbers {
            waiting: Arc::clone(&waiting),
            added: Arc::clone(&added),
            journal: journal.clone(),
            start,
            newest,
        };
        let replies = replies.iter().copied().collect();
        let receiver = Receiver { replies, journal: journal.clone(), start };
        let policy = RetryPolicy {
            attempt: 5 * SECOND,
            first_pause: SECOND,
            longest_pause: 4 * SECOND,
            longest_retry_after: 600 * SECOND,
            resend,
        };
        let (sender, handle) = Sender::new(source, receiver, policy);
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let stopped = sender.run().await;
            let _ = end.send((stopped.lost, stopped.unsent.map(|(request, _)| request)));
        });
        Self { waiting, added, journal, handle, ended }
    }

    fn add(&self, number: u32) {
        self.waiting.lock().unwrap().push_back(number);
        self.added.notify_one();
    }

    /// Lets the time pass, and returns what happened.
    async fn after(&self, seconds: u64) -> Vec<String> {
        // And a little more, in which what is due now happens.
        tokio::time::sleep(Duration::from_secs(seconds) + Duration::from_millis(1)).await;
        self.journal.take().into_iter().map(|(what, _)| what).collect()
    }

    /// Stops it, and returns the items lost, what was not sent, and the seconds that it took.
    async fn stop(self, within: u64) -> (u64, Option<u32>, u64) {
        let asked = Instant::now();
        self.handle.stop(Duration::from_secs(within), |_| {}).expect("it runs");
        let (lost, unsent) = self.ended.await.expect("it ends");
        (lost, unsent, asked.elapsed().as_secs())
    }
}

fn same(within: u64) -> Resend {
    Resend::Same { within: Duration::from_secs(within) }
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_sent_again_before_the_next() {
    let scene = Scene::new(same(60), &[Reply::Fail(Retry::Soon), Reply::Fail(Retry::Soon)]);
    scene.add(1);
    scene.add(2);
    assert_eq!(scene.after(60).await, ["1 sent", "1 sent", "1 sent", "2 sent"]);
    assert_eq!(scene.stop(60).await, (0, None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_given_up_at_its_time_and_the_next_is_sent() {
    let replies = [Reply::Fail(Retry::Soon); 3];
    let scene = Scene::new(same(5), &replies);
    scene.add(1);
    scene.add(2);
    // Pauses of 1 s and 2 s and up to half of each, then one of 4 s that would end too late.
    assert_eq!(
        scene.after(60).await,
        ["1 sent", "1 sent", "1 sent", "1 given up: refused", "2 sent"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_not_sent_again() {
    for resend in [same(60), Resend::Newest] {
        let scene = Scene::new(resend, &[Reply::Fail(Retry::Never)]);
        scene.add(1);
        assert_eq!(scene.after(60).await, ["1 sent", "1 given up: refused"]);
        scene.add(2);
        assert_eq!(scene.after(0).await, ["2 sent"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_its_time() {
    let scene = Scene::new(same(5), &[Reply::Hang]);
    scene.add(1);
    let found = scene.after(60).await;
    assert_eq!(found, ["1 sent", "1 given up: no answer within 5s"]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_request_takes_the_place_of_one_that_failed() {
    let scene = Scene::new(Resend::Newest, &[Reply::Fail(Retry::Soon)]);
    scene.add(1);
    assert_eq!(scene.after(0).await, ["1 sent"]);
    scene.add(2);
    assert!(scene.after(0).await.is_empty(), "a change does not end the pause");
    assert_eq!(scene.after(60).await, ["2 sent"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_a_pause_gets_it_until_the_stop() {
    let hour = Reply::Fail(Retry::After(3_600 * SECOND));
    for (resend, first) in
        [(same(60), vec!["1 sent", "1 given up: refused"]), (Resend::Newest, vec!["1 sent"])]
    {
        let scene = Scene::new(resend, &[hour]);
        scene.add(1);
        assert_eq!(scene.after(0).await, first);
        scene.add(2);
        assert!(scene.after(599).await.is_empty(), "{resend:?}");
        let journal = scene.journal.clone();
        assert_eq!(scene.stop(60).await, (0, None, 0), "{resend:?}");
        assert_eq!(journal.take()[0].0, "2 sent", "{resend:?}");
    }
    let scene = Scene::new(same(60), &[hour]);
    scene.add(1);
    scene.after(0).await;
    scene.add(2);
    assert_eq!(scene.after(601).await, ["2 sent"], "no pause is longer than the policy's");
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_done_when_what_waited_was_sent() {
    let scene = Scene::new(same(60), &[]);
    scene.after(0).await;
    // Not notified: the flush sends it anyway.
    scene.waiting.lock().unwrap().push_back(1);
    let (done, flushed) = oneshot::channel();
    scene.handle.flush(move || {
        let _ = done.send(());
    });
    flushed.await.expect("it is flushed");
    assert_eq!(scene.journal.take()[0].0, "1 sent");
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_what_waits_and_counts_what_it_loses() {
    let soon = Reply::Fail(Retry::Soon);
    for (replies, within, lost, seconds) in [
        (vec![], 60, 0, 0..1),
        // The second attempt comes after a pause of 1 s and up to half of it.
        (vec![soon], 60, 0, 1..2),
        (vec![soon], 1, 1, 0..1),
        (vec![Reply::Fail(Retry::Never)], 60, 1, 0..1),
        (vec![Reply::Hang], 3, 1, 3..4),
        (vec![Reply::Hang, Reply::Take], 60, 0, 6..7),
    ] {
        let scene = Scene::new(same(60), &replies);
        scene.after(0).await;
        scene.waiting.lock().unwrap().push_back(1);
        let (found, unsent, took) = scene.stop(within).await;
        assert_eq!((found, unsent), (lost, None), "{within} {seconds:?}");
        assert!(seconds.contains(&took), "{took} not in {seconds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_tries_the_newest_state_once() {
    for (replies, within, unsent, seconds) in [
        (vec![], 60, None, 0),
        (vec![Reply::Fail(Retry::Soon)], 60, Some(1), 0),
        (vec![Reply::Fail(Retry::Never)], 60, Some(1), 0),
        (vec![Reply::Hang], 3, Some(1), 3),
        (vec![], 0, Some(1), 0),
    ] {
        let scene = Scene::new(Resend::Newest, &replies);
        scene.after(0).await;
        scene.waiting.lock().unwrap().push_back(1);
        assert_eq!(scene.stop(within).await, (0, unsent, seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_the_request_that_hangs_at_the_deadline() {
    let scene = Scene::new(same(3_600), &[Reply::Hang]);
    scene.add(1);
    scene.after(0).await;
    scene.add(2);
    let journal = scene.journal.clone();
    assert_eq!(scene.stop(3).await, (1, None, 3), "the other one was never taken");
    let given_up = "1 given up: stopped before the receiver had answered";
    assert_eq!(journal.take()[0].0, given_up);
}

#[tokio::test(start_paused = true)]
async fn a_sender_whose_handle_is_gone_ends() {
    let scene = Scene::new(same(60), &[]);
    let Scene { handle, ended, .. } = scene;
    drop(handle);
    assert_eq!(ended.await.expect("it ends"), (0, None));
}
