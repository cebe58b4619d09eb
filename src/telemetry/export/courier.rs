//! The one who carries batches to the collector: when, how often, and what is said about it.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::delivery::{Order, Shared};
use super::meters::Processed;
use super::otlp::{Client, Failure, Kind, Rejected, Retry};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A collector may ask for a pause, not for silence.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);
/// For a stop that is given more time than a clock can tell.
const LONGEST_STOP: Duration = Duration::from_hours(24);

/// What runs on the thread of a delivery.
pub(in crate::telemetry) struct Courier {
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Order>,
    /// The collector's origin, for the log.
    collector: String,
    /// Longest one attempt may take.
    attempt: Duration,
    resource: ResourceAttributesWithSchema,
    stop: Option<Stop>,
    /// The collector asked for silence until then.
    quiet_until: Option<Instant>,
    /// Spans lost since deliveries fail; `None` while they succeed.
    lost: Option<u64>,
}

struct Stop {
    deadline: Instant,
    done: Box<dyn FnOnce(u64) + Send>,
    lost: u64,
}

impl Courier {
    pub(in crate::telemetry) fn new(
        shared: Arc<Shared>,
        inbox: mpsc::UnboundedReceiver<Order>,
        collector: String,
        attempt: Duration,
        resource: &Resource,
    ) -> Self {
        let resource = resource.into();
        let (stop, quiet_until, lost) = (None, None, None);
        Self { shared, inbox, collector, attempt, resource, stop, quiet_until, lost }
    }

    /// Sends until it is told to stop; what it returns tells the one who told it.
    pub(in crate::telemetry) async fn run(
        mut self,
        mut client: Client,
    ) -> Box<dyn FnOnce() + Send> {
        while self.stop.is_none() {
            let mut flushed = None;
            let shared = self.shared.clone();
            tokio::select! {
                order = self.inbox.recv() => flushed = self.accept(order),
                () = shared.full.notified() => {}
                () = sleep(shared.batch.delay) => {}
            }
            self.drain(&mut client).await;
            if let Some(flushed) = flushed {
                flushed();
            }
        }
        // Whatever the collector asked for, this is the last chance.
        self.drain(&mut client).await;
        self.conclude()
    }

    /// Takes an order; a missing one means that nobody is left to send spans.
    fn accept(&mut self, order: Option<Order>) -> Option<Box<dyn FnOnce() + Send>> {
        let (within, done) = match order {
            Some(Order::Flush(done)) => return Some(done),
            Some(Order::Stop(within, done)) => (within, done),
            None => (Duration::ZERO, Box::new(|_| {}) as Box<dyn FnOnce(u64) + Send>),
        };
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + LONGEST_STOP);
        self.stop = Some(Stop { deadline, done, lost: 0 });
        None
    }

    async fn drain(&mut self, client: &mut Client) {
        loop {
            match &self.stop {
                Some(stop) if Instant::now() >= stop.deadline => return,
                None if self.quiet_until.is_some_and(|until| Instant::now() < until) => return,
                _ => {}
            }
            let Some(batch) = self.shared.next_batch() else { return };
            self.deliver(client, batch).await;
        }
    }

    /// Sends a batch, again where that may help, and takes note of what became of it.
    async fn deliver(&mut self, client: &mut Client, batch: Vec<SpanData>) {
        let spans = batch.len();
        self.shared.meters.processed(Processed::Submitted, spans);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let deadline = Instant::now() + self.shared.batch.timeout;
        let mut pause = FIRST_PAUSE;
        let failure = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.attempt(client, request.clone(), left).await {
                Ok(rejected) => return self.delivered(spans as u64, rejected),
                Err(failure) => failure,
            };
            let wait = match failure.retry {
                Retry::Never => break failure,
                Retry::Soon => pause + jitter(pause),
                Retry::After(wait) => wait.clamp(pause, LONGEST_SILENCE),
            };
            if Instant::now() + wait >= deadline {
                if matches!(failure.retry, Retry::After(_)) {
                    self.quiet_until = Some(Instant::now() + wait);
                }
                break failure;
            }
            if self.unless_stopped(sleep(wait)).await.is_none() {
                break failure;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.failed(spans as u64, &failure);
    }

    /// Sends once, for no longer than `left`, the time for an attempt and the time until the stop.
    async fn attempt(
        &mut self,
        client: &mut Client,
        request: ExportTraceServiceRequest,
        left: Duration,
    ) -> Result<Rejected, Failure> {
        let longest = self.attempt.min(left);
        match self.unless_stopped(timeout(longest, client.send(request))).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                client.reconnect();
                let detail = format!("no answer within {longest:?}");
                Err(Failure { kind: Kind::Timeout, detail, retry: Retry::Soon })
            }
            None => Err(Failure {
                kind: Kind::Shutdown,
                detail: "stopped before the collector had answered".to_owned(),
                retry: Retry::Never,
            }),
        }
    }

    /// Awaits `work`, but no longer than until the deadline of a stop, ordered before or meanwhile.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let deadline = self.stop.as_ref().map(|stop| stop.deadline);
            tokio::select! {
                biased;
                output = &mut work => return Some(output),
                () = async { sleep_until(deadline.unwrap_or_else(Instant::now)).await },
                    if deadline.is_some() => return None,
                order = self.inbox.recv(), if deadline.is_none() => {
                    // What a flush waits for is being sent; it is answered as soon as it is seen.
                    if let Some(flushed) = self.accept(order) {
                        flushed();
                    }
                }
            }
        }
    }

    fn delivered(&mut self, spans: u64, rejected: Rejected) {
        let rejected = rejected.min(spans);
        self.shared.meters.exported(spans - rejected);
        if rejected > 0 {
            let detail = "the collector took the request without all of its spans".to_owned();
            let failure = Failure { kind: Kind::Rejected, detail, retry: Retry::Never };
            return self.failed(rejected, &failure);
        }
        if let Some(lost) = self.lost.take() {
            let collector = &self.collector;
            self.shared.log(|| {
                tracing::info!(%collector, spans_lost = lost, "traces are delivered again");
            });
        }
    }

    fn failed(&mut self, spans: u64, failure: &Failure) {
        self.shared.meters.failed(failure.kind, spans);
        if let Some(stop) = &mut self.stop {
            stop.lost += spans;
        }
        let first = self.lost.is_none();
        *self.lost.get_or_insert(0) += spans;
        // The stop has a line of its own.
        if first && failure.kind != Kind::Shutdown {
            let (collector, detail) = (&self.collector, &failure.detail);
            let error_type = failure.kind.as_str();
            self.shared.log(|| {
                tracing::warn!(%collector, error_type, detail, "traces are not delivered");
            });
        }
    }

    /// Gives up what is left, and returns what tells the one who ordered the stop.
    fn conclude(self) -> Box<dyn FnOnce() + Send> {
        let left = {
            let mut queue = self.shared.queue();
            queue.closed = true;
            std::mem::take(&mut queue.spans).len()
        };
        self.shared.meters.queue(0);
        self.shared.meters.processed(Processed::Shutdown, left);
        let Some(Stop { done, lost, .. }) = self.stop else { return Box::new(|| {}) };
        let lost = lost + left as u64;
        if lost > 0 {
            let collector = &self.collector;
            self.shared.log(|| {
                tracing::warn!(%collector, spans_lost = lost, "spans were lost at shutdown");
            });
        }
        Box::new(move || done(lost))
    }
}

/// Up to half of `pause`, so that many senders do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
}
