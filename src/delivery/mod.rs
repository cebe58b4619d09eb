//! A bounded queue and a sender with retries, used for spans and alerts.
//!
//! # Input and output
//! Input: requests of a [`Source`], which decides what to send next. Output: calls of an
//! [`Exporter`], which sends one request once and classifies the result. The [`Sender`] between
//! them decides when to send, when to retry and when to give up.
//!
//! # When a request is tried again
//! A [`Failure`] carries a [`Retry`]: never, soon, or after the time that the receiver asked for
//! (`Retry-After`, gRPC's `RetryInfo`). Pauses double up to a bound and are jittered. A receiver
//! may ask for a longer pause, but not for an endless one. [`RetryPolicy`] holds the numbers.
//!
//! # What is sent again
//! A queue of events sends the same request until its time is over ([`Resend::Same`]). A source of
//! states builds a new request from the newest state ([`Resend::Newest`]), so that a receiver that
//! was unreachable gets the current state.
//!
//! # How it ends
//! [`Handle::stop`] gives a deadline. What still waits is sent within it; an attempt that has no
//! answer by then is cancelled and counts as [`ErrorType::Shutdown`].

mod failure;
mod http;
mod outage;
#[cfg(feature = "otlp")]
mod queue;
mod retry;
mod sender;
#[cfg(test)]
mod tests;

pub(crate) use failure::{ErrorType, Failure, innermost};
pub(crate) use http::{client_builder, refuses_login, retry_after, transport_failure};
pub(crate) use outage::Outage;
#[cfg(feature = "otlp")]
pub(crate) use queue::{BatchQueue, Refused};
pub(crate) use retry::{Resend, Retry, RetryPolicy};
pub(crate) use sender::{Exporter, Handle, Sender, Source};
