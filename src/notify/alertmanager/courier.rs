//! The one who carries alerts to one Alertmanager: when, how often, and what is said about it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Desk;
use super::meters::Meters;
use super::outbox::{Batch, Outbox};
use super::post::{Failure, Retry, Target};

/// Shortest time from one look at the board to the next, unless there is more to send: a look costs
/// as much as there are checks that are not up, and what falls together is sent together.
const PACE: Duration = Duration::from_millis(100);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An Alertmanager may ask for a pause, not for silence.
const LONGEST_SILENCE: Duration = Duration::from_mins(5);

pub(super) struct Courier {
    desk: Arc<Desk>,
    target: Target,
    outbox: Outbox,
    /// Longest one post may take.
    timeout: Duration,
    changes: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
    meters: Meters,
    pause: Duration,
    /// Whether the last post was not taken.
    failing: bool,
}

impl Courier {
    pub(super) fn new(
        desk: Arc<Desk>,
        target: Target,
        outbox: Outbox,
        timeout: Duration,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let changes = desk.changes.subscribe();
        let meters = Meters::register();
        let (pause, failing) = (FIRST_PAUSE, false);
        Self { desk, target, outbox, timeout, changes, stopping, meters, pause, failing }
    }

    /// Posts what is due until it is told to stop, and then once more.
    pub(super) async fn run(mut self) {
        loop {
            let last = *self.stopping.borrow_and_update();
            self.changes.borrow_and_update();
            let (batch, next) = self.next_batch();
            if batch.alerts.is_empty() {
                if last {
                    return;
                }
                self.rest(next).await;
                continue;
            }
            let Err(failure) = self.target.post(&batch.alerts, self.timeout).await else {
                self.delivered(&batch);
                continue;
            };
            let wait = self.failed(&batch, &failure);
            if last {
                let (alertmanager, alerts) = (&self.target.origin, batch.alerts.len());
                tracing::warn!(%alertmanager, alerts, "alerts were not delivered at shutdown");
                return;
            }
            if let Some(wait) = wait {
                let again = Instant::now() + wait;
                // Not woken by changes: the newest state goes out when it may.
                tokio::select! {
                    () = sleep_until(again) => {}
                    _ = self.stopping.changed() => {}
                }
            }
        }
    }

    /// What is to be sent now, or when to look again.
    fn next_batch(&mut self) -> (Batch, Option<Instant>) {
        let mut board = self.desk.board();
        let look_again = board.evaluate();
        let (batch, due) = self.outbox.next(&board, &self.desk.letterhead);
        (batch, [look_again, due].into_iter().flatten().min())
    }

    /// Waits for a change, the stop, or until `next`.
    async fn rest(&mut self, next: Option<Instant>) {
        let next_look = Instant::now() + PACE;
        let until = next.unwrap_or(next_look);
        // The channel of changes outlives this, and who drops that of the stop ends this too.
        tokio::select! {
            _ = self.stopping.changed() => return,
            _ = self.changes.changed() => {}
            () = sleep_until(until), if next.is_some() => {}
        }
        tokio::select! {
            _ = self.stopping.changed() => {}
            () = sleep_until(next_look) => {}
        }
    }

    fn delivered(&mut self, batch: &Batch) {
        self.meters.success.increment(1);
        self.outbox.settle(batch);
        self.pause = FIRST_PAUSE;
        if std::mem::take(&mut self.failing) {
            let alertmanager = &self.target.origin;
            tracing::info!(%alertmanager, "alerts are delivered again");
        }
    }

    /// Takes note of a failure, and tells how long to wait before the next attempt.
    fn failed(&mut self, batch: &Batch, failure: &Failure) -> Option<Duration> {
        self.meters.failure.increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            let (alertmanager, cause) = (&self.target.origin, &failure.detail);
            tracing::warn!(%alertmanager, cause, "alerts are not delivered");
        }
        let wait = match failure.retry {
            Retry::Never => {
                self.outbox.settle(batch);
                return None;
            }
            Retry::Soon => self.pause + jitter(self.pause),
            Retry::After(wait) => wait.clamp(self.pause, LONGEST_SILENCE),
        };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Some(wait)
    }
}

/// Up to half of `pause`, so that many senders do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
}
