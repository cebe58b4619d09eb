//! Notifications: sends status changes to receivers.
//!
//! Input: events of checks, through a [`Sink`](crate::Sink). Output: messages to a receiver.

pub mod alertmanager;
