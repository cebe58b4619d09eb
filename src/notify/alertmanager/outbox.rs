//! What one Alertmanager has been told, and what it is to be told next.
//!
//! In flow the board and what became of each post; out flow batches of alerts: those that are new,
//! those whose end it has not heard of, and those that it would soon take for over.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::alert::{Alert, Labels, Letterhead};
use super::board::{Board, Firing};

/// Most alerts of one post, as many as Prometheus sends.
const BATCH: usize = 64;

#[derive(Debug)]
pub(super) struct Outbox {
    /// How often an alert that fires is told again.
    resend: Duration,
    /// How long after being told it ends by itself.
    expiry: Duration,
    told: HashMap<Labels, Told>,
}

/// An alert that Alertmanager may know of.
#[derive(Debug)]
struct Told {
    starts_at: SystemTime,
    /// When it was last told that it fires.
    at: Instant,
    /// Whether that needs no repetition before it is due.
    settled: bool,
}

/// Alerts for one post.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) alerts: Vec<Alert>,
    firing: Vec<Labels>,
    ended: Vec<Labels>,
}

impl Outbox {
    pub(super) fn new(resend: Duration, expiry: Duration) -> Self {
        Self { resend, expiry, told: HashMap::new() }
    }

    /// The next batch, ends first, for they are what somebody waits for; an empty one comes with
    /// when the next is due.
    pub(super) fn next(
        &mut self,
        board: &Board,
        letterhead: &Letterhead,
    ) -> (Batch, Option<Instant>) {
        let (now, today) = (Instant::now(), SystemTime::now());
        let mut batch = Batch::default();
        // Alertmanager takes for over by itself what it was not told of for so long.
        self.told.retain(|labels, told| board.fires(labels) || now < told.at + self.expiry);
        for (labels, told) in self.told.iter().filter(|(labels, _)| !board.fires(labels)) {
            if batch.alerts.len() == BATCH {
                return (batch, None);
            }
            let end = board.ended(labels).unwrap_or(today);
            batch.alerts.push(letterhead.alert(labels, None, (told.starts_at, end)));
            batch.ended.push(labels.clone());
        }
        let mut due_next: Option<Instant> = None;
        for firing in board.firing() {
            let due = self.due(firing, now);
            if now < due {
                due_next = Some(due_next.map_or(due, |next| next.min(due)));
                continue;
            }
            if batch.alerts.len() == BATCH {
                break;
            }
            let Firing { labels, starts_at } = firing;
            let period = (*starts_at, today + self.expiry);
            batch.alerts.push(letterhead.alert(labels, board.about(&labels.check), period));
            batch.firing.push(labels.clone());
            // From now on it may know of it, whatever becomes of the post.
            let told = Told { starts_at: *starts_at, at: now, settled: false };
            self.told.insert(labels.clone(), told);
        }
        (batch, due_next)
    }

    fn due(&self, firing: &Firing, now: Instant) -> Instant {
        match self.told.get(&firing.labels) {
            Some(told) if told.settled && told.starts_at == firing.starts_at => {
                told.at + self.resend
            }
            _ => now,
        }
    }

    /// Alertmanager has answered: it took the batch, or it never will. Nothing of it is sent
    /// again before it is due.
    pub(super) fn settle(&mut self, batch: &Batch) {
        for labels in &batch.ended {
            self.told.remove(labels);
        }
        for labels in &batch.firing {
            if let Some(told) = self.told.get_mut(labels) {
                told.settled = true;
            }
        }
    }
}
