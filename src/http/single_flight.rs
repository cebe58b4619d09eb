//! Single flight: several clients that request the same thing at the same time share one
//! computation.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Makes one `T` at a time, for every client that asks while it is being made.
pub(crate) struct SingleFlight<T> {
    waiters: Arc<Waiters<T>>,
}

/// The clients that wait; `None` while nothing is being made.
struct Waiters<T>(Mutex<Option<Vec<oneshot::Sender<T>>>>);

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { waiters: Arc::new(Waiters(Mutex::new(None))) }
    }
}

impl<T: Clone + Send + 'static> SingleFlight<T> {
    /// What is being made, or else what `start` starts to make; `None` when that panicked.
    ///
    /// It goes on even when every client has stopped waiting, so that clients that come and go cannot
    /// start many at once.
    pub(crate) async fn share<F>(&self, start: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        if self.waiters.join(sender) {
            let release = ReleaseWaiters(Arc::clone(&self.waiters));
            let making = start();
            tokio::spawn(async move {
                let output = making.await;
                for waiter in release.0.take() {
                    // A client that has stopped waiting needs none.
                    let _ = waiter.send(output.clone());
                }
            });
        }
        receiver.await.ok()
    }
}

impl<T> Waiters<T> {
    /// Adds `sender` to those that wait; true when nothing was being made yet.
    fn join(&self, sender: oneshot::Sender<T>) -> bool {
        let mut waiting = self.lock();
        let first = waiting.is_none();
        waiting.get_or_insert_default().push(sender);
        first
    }

    fn take(&self) -> Vec<oneshot::Sender<T>> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<oneshot::Sender<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases those that wait when the work ends, by a panic too.
struct ReleaseWaiters<T>(Arc<Waiters<T>>);

impl<T> Drop for ReleaseWaiters<T> {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn everybody_who_asks_meanwhile_gets_the_same() {
        let flight = Arc::new(SingleFlight::default());
        let count = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let ask = || {
            let (flight, count, gate) = (flight.clone(), count.clone(), gate.clone());
            async move {
                let start = || async move {
                    let _open = gate.acquire().await;
                    count.fetch_add(1, Ordering::SeqCst) + 1
                };
                flight.share(start).await
            }
        };
        let all = futures_util::future::join_all((0..5).map(|_| ask()));
        let open = async {
            tokio::task::yield_now().await;
            gate.add_permits(1);
        };
        let (answers, ()) = tokio::join!(all, open);
        assert_eq!(answers, vec![Some(1); 5]);
        assert_eq!(ask().await, Some(2), "a later one is made anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_leaves_nobody_waiting_and_the_next_one_is_made() {
        let flight = SingleFlight::default();
        let failing = flight.share(|| async { panic!("nothing to be made") });
        let failed = tokio::time::timeout(Duration::from_mins(1), failing).await;
        assert_eq!(failed, Ok(None::<u32>));
        assert_eq!(flight.share(|| async { 7 }).await, Some(7));
    }
}
