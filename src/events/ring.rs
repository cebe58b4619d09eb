//! A ring buffer of the latest items of a sequence.

use std::collections::VecDeque;
use std::sync::Arc;

/// The latest items of a sequence, each at its position from the beginning on.
#[derive(Debug)]
pub(super) struct Ring<T> {
    kept: VecDeque<Arc<T>>,
    /// Highest number of items that are kept.
    capacity: usize,
    /// Number of items that were dropped before the first one that is kept.
    gone: u64,
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: VecDeque::with_capacity(capacity), capacity, gone: 0 }
    }

    /// Position of the first item that is kept.
    pub(super) const fn start(&self) -> u64 {
        self.gone
    }

    /// Position of the next item that comes.
    pub(super) fn end(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }

    pub(super) fn at(&self, position: u64) -> Option<&Arc<T>> {
        let index = usize::try_from(position.checked_sub(self.gone)?).ok()?;
        self.kept.get(index)
    }

    /// Adds an item, and returns the one that was dropped for it.
    pub(super) fn push(&mut self, item: Arc<T>) -> Option<Arc<T>> {
        let oldest = if self.kept.len() < self.capacity { None } else { self.kept.pop_front() };
        self.gone += u64::from(oldest.is_some());
        self.kept.push_back(item);
        oldest
    }

    /// The items that are kept, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> + ExactSizeIterator {
        self.kept.iter()
    }
}

/// The next item for a reader at a position.
pub(super) enum Next<'a, T> {
    Item(&'a Arc<T>),
    /// The ring has dropped this many items that the reader did not read.
    Missed(u64),
}

impl<T> Ring<T> {
    /// What is next at `position`, which moves on past it; `None` when the reader has caught up.
    pub(super) fn next(&self, position: &mut u64) -> Option<Next<'_, T>> {
        let missed = self.gone.saturating_sub(*position);
        if missed > 0 {
            *position = self.gone;
            return Some(Next::Missed(missed));
        }
        let item = self.at(*position)?;
        *position += 1;
        Some(Next::Item(item))
    }
}
