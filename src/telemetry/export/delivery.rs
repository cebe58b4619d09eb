//! The delivery of spans: a bounded queue, and a thread that sends from it.
//!
//! In flow kept traces from any thread, which never waits; out flow batches to the collector. The
//! thread drives a small runtime of its own, so that a collector that is down, slow or refusing
//! costs the checks nothing, and so that a shutdown can end what is in flight at its deadline.
//! It costs one thread and, with it, the name lookups of that runtime.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::{Notify, mpsc};
use tracing::Dispatch;
use tracing::dispatcher::{self, WeakDispatch};

use super::courier::Courier;
use super::environment::Batch;
use super::meters::{Meters, Processed};
use super::otlp::Client;
use crate::telemetry::tail_sampling::TraceProcessor;

/// The end of the pipeline, as a span processor.
#[derive(Clone)]
pub(in crate::telemetry) struct Delivery {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
}

pub(in crate::telemetry) struct Shared {
    queue: Mutex<Queue>,
    /// A batch is full.
    pub(in crate::telemetry) full: Notify,
    pub(in crate::telemetry) batch: Batch,
    pub(in crate::telemetry) meters: Meters,
    /// Where state changes are logged. Weak, for the subscriber owns the pipeline.
    log: OnceLock<WeakDispatch>,
}

#[derive(Default)]
pub(in crate::telemetry) struct Queue {
    pub(in crate::telemetry) spans: VecDeque<SpanData>,
    pub(in crate::telemetry) closed: bool,
}

pub(in crate::telemetry) enum Order {
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
    pub(in crate::telemetry) fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, if any span waits.
    pub(in crate::telemetry) fn next_batch(&self) -> Option<Vec<SpanData>> {
        let mut queue = self.queue();
        let size = self.batch.size.min(queue.spans.len());
        let batch: Vec<_> = queue.spans.drain(..size).collect();
        self.meters.queue(queue.spans.len());
        (!batch.is_empty()).then_some(batch)
    }

    /// Logs through the subscriber that the pipeline belongs to.
    pub(in crate::telemetry) fn log(&self, line: impl FnOnce()) {
        match self.log.get().and_then(WeakDispatch::upgrade) {
            Some(dispatch) => dispatcher::with_default(&dispatch, line),
            None => line(),
        }
    }
}

impl Delivery {
    /// Starts the thread.
    pub(in crate::telemetry) fn start(
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
        let courier = Courier::new(shared.clone(), inbox, collector, attempt, resource);
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
    pub(in crate::telemetry) fn log_to(&self, dispatch: &Dispatch) {
        // Set once, when the subscriber is built.
        let _ = self.shared.log.set(dispatch.downgrade());
    }

    /// Takes no further span, sends what waits for as long as `within`, then calls `done` with
    /// the number of spans lost. `None` when it was stopped before.
    pub(in crate::telemetry) fn stop(
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
