//! The network code shared by the kinds: name resolution, connections, TLS, HTTP/1.1 and URLs.
//!
//! Input: an endpoint and the run's context. Output: a stream, or a [`Failure`] with its reason.
//! Each step is a phase of the run, is cancelled by dropping it, and holds at most one connection.

#[cfg(any(feature = "mongodb", feature = "redis"))]
mod attempts;
#[cfg(feature = "http")]
pub(crate) mod body;
mod connect;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod database;
mod endpoint;
mod failure;
#[cfg(feature = "http")]
pub(crate) mod headers;
mod hosts;
#[cfg(feature = "http")]
pub(crate) mod http1;
#[cfg(feature = "http")]
pub(crate) mod json;
#[cfg_attr(not(feature = "tcp"), allow(dead_code, reason = "`tcp` alone waits for a greeting"))]
pub(crate) mod mysql_port;
#[cfg(any(feature = "memcached", feature = "redis"))]
mod optional_question;
mod resolve;
#[cfg(feature = "scram")]
#[cfg_attr(not(feature = "kinds"), allow(dead_code, reason = "a kind alone uses a part"))]
pub(crate) mod scram;
#[cfg(any(feature = "memcached", feature = "mysql", feature = "redis"))]
mod server_address;
#[cfg(feature = "server-url")]
#[cfg_attr(not(feature = "kinds"), allow(dead_code, reason = "a kind alone uses a part"))]
mod server_url;
#[cfg(feature = "session")]
#[cfg_attr(not(feature = "kinds"), allow(dead_code, reason = "a kind alone uses a part"))]
mod session;
#[cfg(feature = "mongodb")]
mod srv;
#[cfg(feature = "stream")]
#[cfg_attr(not(feature = "kinds"), allow(dead_code, reason = "a kind alone uses a part"))]
mod stream;
#[cfg(feature = "http")]
mod target;
mod tls;

#[cfg(any(feature = "mongodb", feature = "redis"))]
pub(crate) use attempts::{attempt, most_telling};
#[cfg(feature = "dns")]
pub(crate) use connect::addresses;
pub(crate) use connect::connect;
#[cfg(feature = "icmp")]
pub(crate) use connect::ips;
#[cfg(any(feature = "dns", feature = "http"))]
pub(crate) use connect::note_peer;
#[cfg(any(feature = "http", feature = "icmp"))]
pub(crate) use endpoint::shared;
pub(crate) use endpoint::{Endpoint, Host};
#[cfg(any(
    feature = "dns",
    feature = "grpc",
    feature = "mysql",
    feature = "session",
    feature = "websocket"
))]
#[cfg_attr(not(feature = "kinds"), allow(unused_imports, reason = "MQTT has no texts"))]
pub(crate) use failure::brief;
#[cfg(any(
    feature = "dns",
    feature = "grpc",
    feature = "http",
    feature = "icmp",
    feature = "session",
    feature = "tcp"
))]
pub(crate) use failure::failure;
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
pub(crate) use failure::tls_limit;
#[cfg(feature = "reqwest-client")]
pub(crate) use failure::wrapped_reason_of_tls;
#[cfg(any(feature = "memcached", feature = "redis"))]
pub(crate) use optional_question::OptionalQuestion;
#[cfg(any(feature = "memcached", feature = "mysql", feature = "redis"))]
pub(crate) use server_address::ServerAddress;
#[cfg(feature = "server-url")]
#[cfg_attr(not(feature = "kinds"), allow(unused_imports, reason = "a kind alone uses a part"))]
pub(crate) use server_url::{Schemes, ServerUrl, UrlForm, tls_client};
#[cfg(feature = "session")]
#[cfg_attr(not(feature = "kinds"), allow(unused_imports, reason = "a kind alone uses a part"))]
pub(crate) use session::{MOST, ParseError, Parsed, Session};
#[cfg(feature = "mongodb")]
pub(crate) use srv::{lookup_srv, lookup_txt};
#[cfg(feature = "stream")]
pub(crate) use stream::Stream;
#[cfg(feature = "http")]
pub(crate) use target::Target;
#[cfg(feature = "tls")]
pub use tls::client_config;
#[cfg(feature = "sql-pool")]
pub(crate) use tls::explain_to_driver;
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
pub(crate) use tls::exporter_config;
#[cfg(feature = "mysql")]
pub(crate) use tls::handshake_before_verdict;
#[cfg(feature = "sql")]
pub(crate) use tls::reason as reason_of_tls;
pub(crate) use tls::{Chain, NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE, date, handshake};

#[cfg(any(feature = "grpc", feature = "http"))]
pub(crate) use crate::engine::Carrier;
#[cfg(feature = "http")]
pub(crate) use crate::engine::check::unexpected_status;
#[cfg(feature = "stream")]
use crate::engine::check::{Context, Failure};

/// Connects to `endpoint`, with TLS where there is a client for it.
#[cfg(feature = "stream")]
#[cfg_attr(not(feature = "kinds"), allow(dead_code, reason = "a kind alone uses a part"))]
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
