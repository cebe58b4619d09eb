//! The end of the span pipeline: a bounded queue, and a thread that sends from it.
//!
//! Input: kept traces from any thread, which never waits. Output: batches for the collector. The
//! thread has its own small runtime, so that a collector that is down, slow or refusing does not
//! affect the checks, and so that a shutdown can cancel requests at its deadline. It costs one
//! thread and, with it, the name lookups of that runtime.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tracing::Dispatch;

use super::environment::Batching;
use super::meters::{Meters, Processed};
use super::otlp::Client;
use super::spans::{Shared, SpanSource};
use crate::delivery::{BatchQueue, Handle, Refused, Resend, RetryPolicy, Sender};
use crate::telemetry::tail_sampling::TraceProcessor;

/// Pauses between the attempts of one batch.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longest pause that a collector may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(10);

/// Queues the spans of kept traces, and sends them in batches.
#[derive(Clone)]
pub(in crate::telemetry) struct BatchProcessor {
    shared: Arc<Shared>,
    sender: Handle,
}

impl fmt::Debug for BatchProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchProcessor").finish_non_exhaustive()
    }
}

impl BatchProcessor {
    /// Starts the thread; one attempt takes no longer than `attempt`.
    pub(in crate::telemetry) fn start(
        client: Client,
        collector: String,
        attempt: Duration,
        batching: Batching,
        resource: &Resource,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let meters = Meters::register();
        let Batching { queue, size, delay, timeout } = batching;
        let queue = BatchQueue::new(queue, size, delay, meters.queue_size());
        let shared = Arc::new(Shared::new(queue, meters));
        let source = SpanSource::new(Arc::clone(&shared), collector, resource);
        let policy = RetryPolicy {
            attempt,
            first_pause: FIRST_PAUSE,
            longest_pause: LONGEST_PAUSE,
            longest_retry_after: LONGEST_RETRY_AFTER,
            resend: Resend::Same { within: timeout },
        };
        let (sender, handle) = Sender::new(source, client, policy);
        std::thread::Builder::new().name("vitalsign-traces".to_owned()).spawn(move || {
            // What the client does must not be traced in turn.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            let stopped = runtime.block_on(sender.run());
            // A name lookup may hang in the system; nobody waits for it.
            runtime.shutdown_background();
            let lost = stopped.source.conclude(stopped.lost);
            if let Some(done) = stopped.done {
                done(lost);
            }
        })?;
        Ok(Self { shared, sender: handle })
    }

    /// Logs state changes through `dispatch` from now on.
    pub(in crate::telemetry) fn log_to(&self, dispatch: &Dispatch) {
        self.shared.log_to(dispatch);
    }

    /// Takes no further span, sends what waits for as long as `within`, then calls `done` with
    /// the number of spans lost. `None` when it was stopped before.
    pub(in crate::telemetry) fn stop(
        &self,
        within: Duration,
        done: impl FnOnce(u64) + Send + 'static,
    ) -> Option<()> {
        if !self.shared.queue.close() {
            return None;
        }
        self.sender.stop(within, done)
    }
}

impl TraceProcessor for BatchProcessor {
    fn on_trace(&self, spans: Vec<SpanData>) {
        let (count, meters) = (spans.len(), &self.shared.meters);
        match self.shared.queue.push(spans) {
            Ok(()) => {}
            Err(Refused::Full) => meters.processed(Processed::QueueFull, count),
            Err(Refused::Closed) => meters.processed(Processed::AlreadyShutdown, count),
        }
    }

    fn on_overflow(&self, spans: usize) {
        self.shared.meters.processed(Processed::QueueFull, spans);
    }
}

impl SpanProcessor for BatchProcessor {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.on_trace(vec![span]);
    }

    fn force_flush(&self) -> OTelSdkResult {
        let longest = Duration::from_secs(5);
        let (done, flushed) = std::sync::mpsc::channel();
        let sent = move || {
            let _ = done.send(());
        };
        self.sender.flush(sent).ok_or(OTelSdkError::AlreadyShutdown)?;
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
