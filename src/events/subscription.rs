//! Events as a stream, for programs within the host.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};

use super::health_event::{HealthEvent, StatusChange};

/// The number of events that were not delivered, because they came faster than they were read.
///
/// What follows in the stream is newer; [`HealthState`](crate::HealthState) has the current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were missed")]
pub struct Missed(pub u64);

/// The events of the service and its checks from the moment of subscription on, in order.
///
/// It ends when the last clone of its [`Health`](crate::Health) is dropped, which it does not keep
/// alive. It may be read as slowly as one likes: the latest 1,000 events are kept for all
/// subscribers together, and one that falls behind further gets [`Missed`].
///
/// It is a [`Stream`], and [`next`](Self::next) needs no trait in scope.
pub struct Subscription(BoxStream<'static, Result<HealthEvent, Missed>>);

impl Subscription {
    pub(super) fn new(
        events: impl Stream<Item = Result<HealthEvent, Missed>> + Send + 'static,
    ) -> Self {
        Self(events.boxed())
    }

    /// Waits for the next event; `None` when none will ever come again.
    ///
    /// It may be dropped at any time, as in `tokio::select!`, and misses nothing by that.
    ///
    /// # Errors
    /// [`Missed`] when so many events came that some were not kept; the next call has those that were.
    pub async fn next(&mut self) -> Option<Result<HealthEvent, Missed>> {
        self.0.next().await
    }

    /// The status changes of checks alone.
    #[must_use]
    pub fn checks(self) -> CheckSubscription {
        let changes = self.0.filter_map(async |event| match event {
            Ok(HealthEvent::Check(change)) => Some(Ok(change)),
            Ok(_) => None,
            Err(missed) => Some(Err(missed)),
        });
        CheckSubscription(changes.boxed())
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Stream for Subscription {
    type Item = Result<HealthEvent, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

/// The status changes of checks alone; made by [`Subscription::checks`].
pub struct CheckSubscription(BoxStream<'static, Result<StatusChange, Missed>>);

impl CheckSubscription {
    /// Waits for the next change; `None` when none will ever come again.
    ///
    /// # Errors
    /// [`Missed`] as of [`Subscription::next`]; it counts events of every kind.
    pub async fn next(&mut self) -> Option<Result<StatusChange, Missed>> {
        self.0.next().await
    }
}

impl fmt::Debug for CheckSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckSubscription").finish_non_exhaustive()
    }
}

impl Stream for CheckSubscription {
    type Item = Result<StatusChange, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}
