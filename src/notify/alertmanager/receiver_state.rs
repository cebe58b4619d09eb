//! The state of one Alertmanager: which alerts were sent to it, and which are due next.
//!
//! Input: the alert store and the result of each post. Output: batches of alerts: new ones, ended
//! ones whose end was not accepted yet, and firing ones that would soon expire.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::alert::{Alert, AlertTemplate, Labels};
use super::store::{AlertStore, Firing};

/// Most alerts of one post, as many as Prometheus sends.
const BATCH: usize = 64;

#[derive(Debug)]
pub(super) struct ReceiverState {
    /// How often an alert that fires is sent again.
    resend: Duration,
    /// How long after it was sent an alert ends by itself.
    expiry: Duration,
    sent: HashMap<Labels, SentAlert>,
}

/// An alert that Alertmanager may know of.
#[derive(Debug)]
struct SentAlert {
    starts_at: SystemTime,
    /// When it was last sent as firing.
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

impl ReceiverState {
    pub(super) fn new(resend: Duration, expiry: Duration) -> Self {
        Self { resend, expiry, sent: HashMap::new() }
    }

    /// The next batch, ended alerts first, because people wait for them. An empty batch comes with
    /// the time at which the next is due.
    pub(super) fn next(
        &mut self,
        store: &AlertStore,
        template: &AlertTemplate,
    ) -> (Batch, Option<Instant>) {
        let (now, today) = (Instant::now(), SystemTime::now());
        let mut batch = Batch::default();
        // Alertmanager ends by itself what was not sent for so long.
        self.sent.retain(|labels, sent| store.fires(labels) || now < sent.at + self.expiry);
        for (labels, sent) in self.sent.iter().filter(|(labels, _)| !store.fires(labels)) {
            if batch.alerts.len() == BATCH {
                return (batch, None);
            }
            let end = store.ended(labels).unwrap_or(today);
            batch.alerts.push(template.alert(labels, None, (sent.starts_at, end)));
            batch.ended.push(labels.clone());
        }
        let mut due_next: Option<Instant> = None;
        for firing in store.firing() {
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
            batch.alerts.push(template.alert(labels, store.about(&labels.check), period));
            batch.firing.push(labels.clone());
            // From now on Alertmanager may have it, whatever becomes of the post.
            let sent = SentAlert { starts_at: *starts_at, at: now, settled: false };
            self.sent.insert(labels.clone(), sent);
        }
        (batch, due_next)
    }

    fn due(&self, firing: &Firing, now: Instant) -> Instant {
        match self.sent.get(&firing.labels) {
            Some(sent) if sent.settled && sent.starts_at == firing.starts_at => {
                sent.at + self.resend
            }
            _ => now,
        }
    }

    /// Alertmanager has answered: it took the batch, or it refused it for good. Nothing of it is
    /// sent again before it is due.
    pub(super) fn settle(&mut self, batch: &Batch) {
        for labels in &batch.ended {
            self.sent.remove(labels);
        }
        for labels in &batch.firing {
            if let Some(sent) = self.sent.get_mut(labels) {
                sent.settled = true;
            }
        }
    }
}
