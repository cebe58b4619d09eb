//! TLS towards a dependency.
//!
//! - `config`: from options and PEM files to a configuration.
//! - `client`: what a check has made of them, and a handshake in each run.
//! - `verify`: whether a server's certificate is trusted. Every client of the crate uses it.
//! - `names`: validity and host name of a pinned certificate.
//! - `crypto`: which keys and signatures are known.
//! - `chain`: how long the certificates last, as figures of a run.
//! - `limits`: what this client cannot verify.
//! - `explain`: what an error of TLS means, in words and as a reason.

mod chain;
mod client;
mod config;
mod crypto;
pub(super) mod explain;
mod limits;
mod names;
mod verify;

pub(crate) use chain::{Chain, NOT_AFTER, UNUSED_NOT_AFTER, WARN_BEFORE, date};
#[cfg(feature = "stream")]
pub(crate) use client::TlsConnection;
pub use client::client_config;
#[cfg(feature = "mysql")]
pub(crate) use client::handshake_before_verdict;
pub(crate) use client::{TlsClient, handshake};
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
pub(crate) use config::exporter_config;
#[cfg(feature = "sql-pool")]
pub(crate) use explain::explain_to_driver;
#[cfg(feature = "sql")]
pub(crate) use explain::reason;
