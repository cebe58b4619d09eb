//! The feed: the latest events, for any number of readers at their own pace.
//!
//! Input: events of the state, because the feed is a [`Sink`](crate::model::Sink). Output: the
//! events in order, from ring buffers (`ring.rs`, `feed.rs`). Publishing costs the same however
//! many readers there are, because a separate task wakes them. A reader is only a position in a
//! ring. A slow reader costs the others nothing, and gets the number of events that it missed when
//! the ring has overwritten its position.
//!
//! `/events` reads the status changes of checks, as [`Published`]. A [`Subscription`] within the host
//! reads every [`HealthEvent`].

mod feed;
mod health_event;
mod known;
mod ring;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use feed::{Feed, FeedItem, FeedPosition, OldestKept, Reader};
pub use health_event::{HealthEvent, MaintenanceChange, ServiceChange, StatusChange};
pub use subscription::{CheckSubscription, Missed, Subscription};
