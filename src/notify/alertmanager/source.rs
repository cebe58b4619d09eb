//! The alerts for one Alertmanager, as the source of a sender: the due alerts, and when to evaluate
//! again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::meters::Meters;
use super::receiver_state::{Batch, ReceiverState};
use crate::delivery::{Failure, Outage, Source};
use crate::model::log_targets;

/// Shortest time between two evaluations of the store, unless there is more to send. An evaluation
/// costs as much as there are checks that are not up, and what falls together is sent together.
const PACE: Duration = Duration::from_millis(100);

/// Batches of alerts for one Alertmanager.
pub(super) struct AlertSource {
    shared: Arc<Shared>,
    receiver: ReceiverState,
    /// The Alertmanager's origin, for the log.
    alertmanager: String,
    changes: watch::Receiver<()>,
    /// When the next batch is due if nothing changes.
    due: Option<Instant>,
    meters: Meters,
    outage: Outage,
}

impl AlertSource {
    pub(super) fn new(shared: Arc<Shared>, receiver: ReceiverState, alertmanager: String) -> Self {
        let changes = shared.changes.subscribe();
        let (meters, outage) = (Meters::register(), Outage::default());
        Self { shared, receiver, alertmanager, changes, due: None, meters, outage }
    }

    /// The Alertmanager's origin.
    pub(super) fn alertmanager(&self) -> &str {
        &self.alertmanager
    }
}

impl Source for AlertSource {
    type Request = Batch;
    type Accepted = ();

    async fn ready(&mut self) {
        let pace = Instant::now() + PACE;
        let due = self.due.unwrap_or(pace);
        // The sender of the changes lives as long as what is shared.
        tokio::select! {
            _ = self.changes.changed() => {}
            () = sleep_until(due), if self.due.is_some() => {}
        }
        sleep_until(pace).await;
    }

    fn next(&mut self) -> Option<Batch> {
        self.changes.borrow_and_update();
        let mut store = self.shared.store();
        let evaluation = store.evaluate();
        let (batch, due) = self.receiver.next(&store, &self.shared.template);
        self.due = [evaluation, due].into_iter().flatten().min();
        (!batch.alerts.is_empty()).then_some(batch)
    }

    fn delivered(&mut self, batch: Batch, (): ()) -> u64 {
        self.meters.success.increment(1);
        self.receiver.settle(&batch);
        if self.outage.succeeded().is_some() {
            let alertmanager = &self.alertmanager;
            tracing::info!(
                target: log_targets::ALERTMANAGER,
                %alertmanager, "alerts are delivered again"
            );
        }
        0
    }

    fn attempt_failed(&mut self, batch: &Batch, failure: &Failure) {
        self.meters.failure.increment(1);
        if self.outage.failed(batch.alerts.len() as u64) {
            let (alertmanager, cause) = (&self.alertmanager, &failure.detail);
            tracing::warn!(
                target: log_targets::ALERTMANAGER,
                %alertmanager, cause, "alerts are not delivered"
            );
        }
    }

    fn given_up(&mut self, batch: Batch, _: &Failure) -> u64 {
        self.receiver.settle(&batch);
        batch.alerts.len() as u64
    }
}
