//! The delivery of spans: a bounded queue, and a thread that sends from it.
//!
//! In flow kept traces from any thread, which never waits; out flow batches to the collector. The
//! thread drives a small runtime of its own, so that a collector that is down, slow or refusing
//! costs the checks nothing, and so that a shutdown can end what is in flight at its deadline.
//! It costs one thread and, with it, the name lookups of that runtime.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::Dispatch;
use tracing::dispatcher::{self, WeakDispatch};

use super::environment::Batch;
use super::meters::{Meters, Processed};
use super::otlp::{Client, Connection, Failure, Kind, Rejected, Retry};
use crate::keep::TraceProcessor;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A collector may ask for a pause, not for silence.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);

/// The end of the pipeline, as a span processor.
#[derive(Clone)]
pub(super) struct Delivery {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// A batch is full.
    full: Notify,
    batch: Batch,
    meters: Meters,
    /// Where state changes are logged. Weak, for the subscriber owns the pipeline.
    log: OnceLock<WeakDispatch>,
}

#[derive(Default)]
struct Queue {
    spans: VecDeque<SpanData>,
    closed: bool,
}

enum Order {
    /// Send what waits, then call back.
    Flush(Box<dyn FnOnce() + Send>),
    /// Send what can be sent within the time, then call back with the number of spans lost.
    Stop(Duration, Box<dyn FnOnce(u64) + Send>),
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("batch", &self.shared.batch).finish_non_exhaustive()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, if any span waits.
    fn next_batch(&self) -> Option<Vec<SpanData>> {
        let mut queue = self.queue();
        let size = self.batch.size.min(queue.spans.len());
        let batch: Vec<_> = queue.spans.drain(..size).collect();
        self.meters.queue(queue.spans.len());
        (!batch.is_empty()).then_some(batch)
    }

    /// Logs through the subscriber that the pipeline belongs to.
    fn log(&self, line: impl FnOnce()) {
        match self.log.get().and_then(WeakDispatch::upgrade) {
            Some(dispatch) => dispatcher::with_default(&dispatch, line),
            None => line(),
        }
    }
}

impl Delivery {
    /// Starts the thread.
    pub(super) fn start(
        client: Client,
        collector: String,
        attempt: Duration,
        batch: Batch,
        resource: &Resource,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            full: Notify::new(),
            batch,
            meters: Meters::register(),
            log: OnceLock::new(),
        });
        let courier = Courier {
            shared: shared.clone(),
            inbox,
            collector,
            attempt,
            resource: resource.into(),
            stop: None,
            quiet_until: None,
            lost: None,
        };
        std::thread::Builder::new().name("vitalsign-traces".to_owned()).spawn(move || {
            // What the client does must not be traced in turn.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            let done = runtime.block_on(courier.run(client));
            // A name lookup may hang in the system; nobody waits for it.
            runtime.shutdown_background();
            done();
        })?;
        Ok(Self { shared, orders })
    }

    /// Logs state changes through `dispatch` from now on.
    pub(super) fn log_to(&self, dispatch: &Dispatch) {
        // Set once, when the subscriber is built.
        let _ = self.shared.log.set(dispatch.downgrade());
    }

    /// Takes no further span, sends what waits for as long as `within`, then calls `done` with
    /// the number of spans lost. `None` when it was stopped before.
    pub(super) fn stop(
        &self,
        within: Duration,
        done: impl FnOnce(u64) + Send + 'static,
    ) -> Option<()> {
        let before = std::mem::replace(&mut self.shared.queue().closed, true);
        if before {
            return None;
        }
        self.orders.send(Order::Stop(within, Box::new(done))).ok()
    }
}

impl TraceProcessor for Delivery {
    fn on_trace(&self, spans: Vec<SpanData>) {
        let Shared { batch, meters, full, .. } = &*self.shared;
        let mut queue = self.shared.queue();
        if queue.closed {
            meters.processed(Processed::AlreadyShutdown, spans.len());
        } else if queue.spans.len() + spans.len() > batch.queue {
            meters.processed(Processed::QueueFull, spans.len());
        } else {
            queue.spans.extend(spans);
            meters.queue(queue.spans.len());
            if queue.spans.len() >= batch.size {
                full.notify_one();
            }
        }
    }

    fn on_overflow(&self, spans: usize) {
        self.shared.meters.processed(Processed::QueueFull, spans);
    }
}

impl SpanProcessor for Delivery {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.on_trace(vec![span]);
    }

    fn force_flush(&self) -> OTelSdkResult {
        let longest = Duration::from_secs(5);
        let (done, flushed) = std::sync::mpsc::channel();
        let order = Order::Flush(Box::new(move || {
            let _ = done.send(());
        }));
        self.orders.send(order).map_err(|_| OTelSdkError::AlreadyShutdown)?;
        flushed.recv_timeout(longest).map_err(|_| OTelSdkError::Timeout(longest))
    }

    fn shutdown_with_timeout(&self, within: Duration) -> OTelSdkResult {
        let (done, stopped) = std::sync::mpsc::channel();
        let done = move |lost| {
            let _ = done.send(lost);
        };
        self.stop(within, done).ok_or(OTelSdkError::AlreadyShutdown)?;
        match stopped.recv() {
            Ok(0) => Ok(()),
            _ => Err(OTelSdkError::Timeout(within)),
        }
    }
}

/// What runs on the thread.
struct Courier {
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
    /// Sends until it is told to stop; what it returns tells the one who told it.
    async fn run(mut self, client: Client) -> Box<dyn FnOnce() + Send> {
        let mut connection = client.connect();
        while self.stop.is_none() {
            let mut flushed = None;
            let shared = self.shared.clone();
            tokio::select! {
                order = self.inbox.recv() => flushed = self.accept(order),
                () = shared.full.notified() => {}
                () = sleep(shared.batch.delay) => {}
            }
            self.drain(&mut connection).await;
            if let Some(flushed) = flushed {
                flushed();
            }
        }
        // Whatever the collector asked for, this is the last chance.
        self.drain(&mut connection).await;
        self.conclude()
    }

    /// Takes an order; a missing one means that nobody is left to send spans.
    fn accept(&mut self, order: Option<Order>) -> Option<Box<dyn FnOnce() + Send>> {
        let (within, done) = match order {
            Some(Order::Flush(done)) => return Some(done),
            Some(Order::Stop(within, done)) => (within, done),
            None => (Duration::ZERO, Box::new(|_| {}) as Box<dyn FnOnce(u64) + Send>),
        };
        self.stop = Some(Stop { deadline: Instant::now() + within, done, lost: 0 });
        None
    }

    async fn drain(&mut self, connection: &mut Connection) {
        loop {
            match &self.stop {
                Some(stop) if Instant::now() >= stop.deadline => return,
                None if self.quiet_until.is_some_and(|until| Instant::now() < until) => return,
                _ => {}
            }
            let Some(batch) = self.shared.next_batch() else { return };
            self.deliver(connection, batch).await;
        }
    }

    /// Sends a batch, again where that may help, and takes note of what became of it.
    async fn deliver(&mut self, connection: &mut Connection, batch: Vec<SpanData>) {
        let spans = batch.len();
        self.shared.meters.processed(Processed::Submitted, spans);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let deadline = Instant::now() + self.shared.batch.timeout;
        let mut pause = FIRST_PAUSE;
        let failure = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.attempt(connection, request.clone(), left).await {
                Ok(rejected) => return self.delivered(spans as u64, rejected),
                Err(failure) => failure,
            };
            let wait = match failure.retry {
                Retry::Never => break failure,
                Retry::Soon => pause + jitter(pause),
                Retry::After(wait) => wait.min(LONGEST_SILENCE),
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
        connection: &mut Connection,
        request: ExportTraceServiceRequest,
        left: Duration,
    ) -> Result<Rejected, Failure> {
        let longest = self.attempt.min(left);
        match self.unless_stopped(timeout(longest, connection.send(request))).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Failure {
                kind: Kind::Timeout,
                detail: format!("no answer within {longest:?}"),
                retry: Retry::Soon,
            }),
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
