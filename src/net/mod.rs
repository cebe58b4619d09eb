//! What every kind that asks over the network stands on: names, connections and TLS.
//!
//! In flows an endpoint and the run's context; out flows a stream, or a [`Failure`] with the
//! reason that fits. Each step is a phase of the run, is cancelled by dropping it, and holds at
//! most one connection.

mod carrier;
mod chain;
mod connect;
mod endpoint;
mod failure;
mod redaction;
mod resolve;
#[cfg(feature = "scram")]
pub(crate) mod scram;
mod stream;
mod tls;

pub(crate) use carrier::Carrier;
pub(crate) use chain::{Chain, NOT_AFTER, date};
pub(crate) use connect::{addresses, connect, note_peer};
pub(crate) use endpoint::{Endpoint, Host, shared};
pub(crate) use failure::{brief, failure, reason_of_tls};
pub(crate) use redaction::Redaction;
pub(crate) use stream::Stream;
pub(crate) use tls::{TlsClient, handshake, version};

use crate::check::{Context, Failure};

/// Connects to `endpoint`, with TLS where there is a client for it.
pub(crate) async fn open(
    cx: &Context,
    endpoint: &Endpoint,
    tls: Option<&TlsClient>,
) -> Result<Stream, Failure> {
    let stream = connect(cx, endpoint).await?;
    match tls {
        None => Ok(Stream::Plain(stream)),
        Some(client) => handshake(cx, client, endpoint, stream).await.map(Stream::Tls),
    }
}
