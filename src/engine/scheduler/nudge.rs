//! A sign from outside for a runtime that serves a host and runs checks too.
//!
//! Of the workers of a runtime, one at a time waits for connections and timers. When it wakes for a
//! single task it runs that task itself and wakes nobody, and should the task block its thread,
//! nobody waits for connections and timers any more: idle workers sleep, and the host is deaf. A
//! task that comes from outside wakes one of them, which then waits for both.

use std::future::ready;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Longest that a host is deaf. A sign costs some ten microseconds.
const PERIOD: Duration = Duration::from_millis(100);

/// Small: the thread calls next to nothing.
const STACK: usize = 128 * 1024;

/// Gives signs until it is dropped.
pub(super) struct Nudge {
    _end: Sender<()>,
}

impl Nudge {
    /// Gives signs to the runtime of `handle`; `None` where none would help, as it has no second
    /// worker.
    pub(super) fn start(handle: Handle) -> Option<Self> {
        let several = handle.runtime_flavor() == RuntimeFlavor::MultiThread
            && handle.metrics().num_workers() > 1;
        if !several {
            return None;
        }
        let (end, ended) = channel();
        let give_signs = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                drop(handle.spawn(ready(())));
            }
        };
        let thread = thread::Builder::new().name("vitalsign-nudge".to_owned()).stack_size(STACK);
        match thread.spawn(give_signs) {
            Ok(_) => Some(Self { _end: end }),
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(error, "no thread that keeps the host awake beside blocking checks");
                None
            }
        }
    }
}
