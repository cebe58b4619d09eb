//! The feed: what happened lately, for any number of readers at their own pace.
//!
//! The feed is a [`Sink`](crate::model::Sink): it gets the recorder's events and keeps them in rings,
//! in order (`ring.rs`, `feed.rs`). Publishing costs the same however many readers there are, as a
//! separate task wakes them. A reader is only a position in a ring. A slow reader costs the others
//! nothing, and learns how much it missed once the ring has gone past it.
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

pub(crate) use feed::{Feed, Floor, Mark, Reader, Taken};
pub use health_event::{HealthEvent, MaintenanceChange, ServiceChange, StatusChange};
pub use subscription::{CheckSubscription, Missed, Subscription};
