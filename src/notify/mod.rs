//! Status changes are sent to receivers.
//!
//! In flow events of checks, through a [`Sink`](crate::Sink); out flow messages to a receiver.

pub mod alertmanager;
