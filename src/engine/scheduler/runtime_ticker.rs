//! Keeps a runtime that serves a host responsive while it runs checks too.
//!
//! One worker of a runtime at a time waits for connections and timers. When a single task becomes
//! ready, that worker runs it and wakes no other. If the task blocks its thread, no worker waits
//! for connections and timers any more: idle workers sleep, and the host answers nobody. A task
//! that is spawned from another thread wakes one of them, which then waits for both.

use std::future::ready;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::model::log_targets;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Longest time that a host answers nobody. A tick costs some ten microseconds.
const PERIOD: Duration = Duration::from_millis(100);

/// A small stack: the thread only waits and spawns.
const STACK: usize = 128 * 1024;

/// A thread that spawns an empty task every 100 ms, until this is dropped.
pub(super) struct RuntimeTicker {
    _end: Sender<()>,
}

impl RuntimeTicker {
    /// Starts it for the runtime of `handle`; `None` where that has a single worker, which no tick
    /// could wake.
    pub(super) fn start(handle: Handle) -> Option<Self> {
        let several = handle.runtime_flavor() == RuntimeFlavor::MultiThread
            && handle.metrics().num_workers() > 1;
        if !several {
            return None;
        }
        let (end, ended) = channel();
        let tick = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                drop(handle.spawn(ready(())));
            }
        };
        let thread = thread::Builder::new().name("vitalsign-ticker".to_owned()).stack_size(STACK);
        match thread.spawn(tick) {
            Ok(_) => Some(Self { _end: end }),
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(
                    target: log_targets::SCHEDULER,
                    error, "no thread that keeps the host awake beside blocking checks"
                );
                None
            }
        }
    }
}
