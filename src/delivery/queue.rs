//! A bounded queue of items that are sent in batches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::Notify;
use tokio::time::sleep;

/// A bounded queue: any thread adds to it and never waits, one task takes batches off it.
#[derive(Debug)]
pub(crate) struct BatchQueue<T> {
    state: Mutex<State<T>>,
    /// Notified when a batch need not wait any longer.
    ready: Notify,
    limits: Limits,
    /// Shows how many items wait.
    length: Gauge,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// The sizes of a queue.
#[derive(Debug, Clone, Copy)]
struct Limits {
    capacity: usize,
    batch: usize,
    delay: Duration,
}

/// Why items were not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room for all of them.
    Full,
    /// The queue was closed.
    Closed,
}

impl<T> BatchQueue<T> {
    /// A queue of at most `capacity` items, that leave in batches of at most `batch`.
    ///
    /// `delay` is the longest that an item waits for a full batch; with zero it does not wait.
    /// `length` shows how many items wait.
    pub(crate) fn new(capacity: usize, batch: usize, delay: Duration, length: Gauge) -> Self {
        let state = State { items: VecDeque::new(), closed: false };
        let limits = Limits { capacity, batch, delay };
        length.set(0.0);
        Self { state: Mutex::new(state), ready: Notify::new(), limits, length }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all of `items` or none.
    pub(crate) fn push(&self, items: Vec<T>) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.items.len() + items.len() > self.limits.capacity {
            return Err(Refused::Full);
        }
        state.items.extend(items);
        self.length.set(state.items.len() as f64);
        if state.items.len() >= self.limits.batch || self.limits.delay.is_zero() {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits until a batch is full, or for as long as an item may wait for one.
    pub(crate) async fn ready(&self) {
        tokio::select! {
            () = self.ready.notified() => {}
            () = sleep(self.limits.delay), if !self.limits.delay.is_zero() => {}
        }
    }

    /// The next batch, if any item waits.
    pub(crate) fn next_batch(&self) -> Option<Vec<T>> {
        let mut state = self.state();
        let size = self.limits.batch.min(state.items.len());
        let batch: Vec<T> = state.items.drain(..size).collect();
        self.length.set(state.items.len() as f64);
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes no further item from now on; `false` when it was closed before.
    pub(crate) fn close(&self) -> bool {
        !std::mem::replace(&mut self.state().closed, true)
    }

    /// Closes the queue and returns how many items are dropped with it.
    pub(crate) fn discard(&self) -> usize {
        let mut state = self.state();
        state.closed = true;
        self.length.set(0.0);
        std::mem::take(&mut state.items).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(5);

    #[test]
    fn items_are_added_all_or_none_and_leave_in_batches() {
        let queue = BatchQueue::new(3, 2, DELAY, Gauge::noop());
        assert_eq!(queue.push(vec![1, 2]), Ok(()));
        assert_eq!(queue.push(vec![3, 4]), Err(Refused::Full));
        assert_eq!(queue.push(vec![5]), Ok(()));
        assert_eq!(queue.next_batch(), Some(vec![1, 2]));
        assert!(queue.close());
        assert!(!queue.close());
        assert_eq!(queue.push(vec![6]), Err(Refused::Closed));
        assert_eq!(queue.discard(), 1);
        assert_eq!(queue.next_batch(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait_and_others_wait_for_the_delay() {
        let queue = BatchQueue::new(9, 2, DELAY, Gauge::noop());
        let start = tokio::time::Instant::now();
        queue.push(vec![1, 2]).unwrap();
        queue.ready().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        queue.next_batch();
        queue.push(vec![3]).unwrap();
        queue.ready().await;
        assert_eq!(start.elapsed(), DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_delay_each_item_is_ready_at_once_and_none_is_waited_for_in_a_loop() {
        let queue = BatchQueue::new(9, 5, Duration::ZERO, Gauge::noop());
        let start = tokio::time::Instant::now();
        queue.push(vec![1]).unwrap();
        queue.ready().await;
        assert_eq!(queue.next_batch(), Some(vec![1]));
        let idle = tokio::time::timeout(DELAY, queue.ready()).await;
        assert!(idle.is_err(), "an empty queue is never ready");
        assert_eq!(start.elapsed(), DELAY);
    }
}
