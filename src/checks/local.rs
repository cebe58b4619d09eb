//! Runs system calls that may hang, such as those about a file on a network file system.
//!
//! A thread that hangs in the kernel can be ended neither by the deadline of a run nor by the end
//! of the runtime. So each call gets its own thread, and a check has at most one such thread: while
//! an earlier call hangs, a new one fails with a [`Failure`].

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::oneshot;

use crate::engine::check::Failure;
use crate::model::Reason;

/// Runs the blocking calls of one check, one at a time.
#[derive(Debug, Default)]
pub(crate) struct BlockingThread {
    taken: Arc<AtomicBool>,
}

impl BlockingThread {
    /// Runs `call` on its own thread and waits for its result; `what` is its name in messages.
    ///
    /// If the run is cancelled, the call continues until it returns.
    ///
    /// # Errors
    /// [`Reason::Timeout`] while an earlier call hangs, and [`Reason::LocalResource`] if no thread
    /// can be started.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        what: &(impl Display + Sync),
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.start(what, move |turn| {
            let answer = call();
            // This comes before the answer is sent, because the next run may follow at once.
            drop(turn);
            // If the run was cancelled, there is no receiver.
            let _ = sender.send(answer);
        })?;
        receiver.await.map_err(|_| {
            let text = format!("the thread that asked {what} panicked");
            Failure::new(Reason::Panic, text)
        })
    }

    /// Starts `work` on its own thread, unless an earlier call has not ended yet.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) fn start(
        &self,
        what: &impl Display,
        work: impl FnOnce(Turn) + Send + 'static,
    ) -> Result<(), Failure> {
        let Some(turn) = Turn::take(&self.taken) else {
            let text = format!("{what} has not answered since an earlier run");
            return Err(Failure::new(Reason::Timeout, text));
        };
        let thread = thread::Builder::new().name("blocking".into());
        thread.spawn(move || work(turn)).map(drop).map_err(|error| {
            let text = format!("no thread to ask {what}: {error}");
            Failure::new(Reason::LocalResource, text)
        })
    }
}

/// The right to call, which ends when the call is over.
#[derive(Debug)]
pub(crate) struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(taken: &Arc<AtomicBool>) -> Option<Self> {
        (!taken.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(taken)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_one_call_hangs_no_other_is_started() {
        let thread = BlockingThread::default();
        let hanging = Turn::take(&thread.taken).expect("nobody asks yet");
        let failure = thread.call(&"/data", || ()).await.expect_err("the turn is taken");
        assert_eq!(failure.reason(), Reason::Timeout);
        assert_eq!(failure.message(), "/data has not answered since an earlier run");
        drop(hanging);
        for n in 0..3 {
            assert_eq!(thread.call(&"/data", move || n).await, Ok(n));
        }
    }

    #[tokio::test]
    async fn a_call_that_panics_fails_and_gives_its_turn_back() {
        let thread = BlockingThread::default();
        let failure = thread.call(&"/data", || panic!("a bug")).await.map(|(): ()| ());
        assert_eq!(failure.expect_err("it panicked").reason(), Reason::Panic);
        thread.call(&"/data", || ()).await.expect("the turn is free");
    }
}
