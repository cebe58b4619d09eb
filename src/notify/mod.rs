//! Who is told of status changes, apart from those who ask.
//!
//! In flow events of checks, through a [`Sink`](crate::Sink); out flow messages to a receiver.

pub mod alertmanager;
