//! TLS towards a dependency.
//!
//! - `client`: from options to a client when a check is made, and a handshake in each run.
//! - `verify`: whether a server's certificate is trusted. Every client of the crate uses it.
//! - `names`: the same for a certificate that is trusted for itself.
//! - `crypto`: which keys and signatures are known.
//! - `chain`: how long the certificates last, as figures of a run.
//! - `limits`: what this client cannot verify.
//! - `explain`: what an error of TLS means, in words and as a reason.

mod chain;
mod client;
mod crypto;
pub(super) mod explain;
mod limits;
mod names;
mod verify;

pub(crate) use chain::{Chain, NOT_AFTER, UNUSED_NOT_AFTER, WARN_BEFORE, date};
pub(crate) use client::{TlsClient, TlsConnection, handshake};
pub(crate) use explain::reason;
