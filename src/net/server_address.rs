//! The address of a server: host and port, or a Unix socket of this host.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::net::UnixStream;

use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason, Server};

use super::connect::connect;
use super::endpoint::{Endpoint, shared};
use super::failure::failure;
use super::stream::Stream;
use super::tls::{TlsClient, handshake};

/// The address of a server, shown as `cache:6379` or `/run/redis.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// A host and a port.
    Tcp(Endpoint),
    /// The path of a socket.
    Unix(Arc<Path>),
}

impl ServerAddress {
    /// The socket at `path`, which must be absolute.
    ///
    /// # Errors
    /// When `path` is relative.
    pub(crate) fn unix(path: impl Into<PathBuf>) -> Result<Self, &'static str> {
        let path = path.into();
        if path.is_absolute() {
            Ok(Self::Unix(path.into()))
        } else {
            Err("the path of the socket is not absolute")
        }
    }

    /// The address of the check that asks this server.
    pub(crate) fn server(&self) -> Server {
        match self {
            Self::Tcp(endpoint) => endpoint.server(),
            Self::Unix(path) => Server { address: path.display().to_string(), port: None },
        }
    }

    /// The attributes of a CLIENT span.
    #[cfg_attr(
        not(any(feature = "memcached", feature = "redis")),
        allow(dead_code, reason = "databases describe their servers themselves")
    )]
    pub(crate) fn attributes(&self) -> [KeyValue; 2] {
        match self {
            Self::Tcp(endpoint) => endpoint.attributes(),
            Self::Unix(path) => [
                KeyValue::new(semconv::SERVER_ADDRESS, shared(path.display().to_string())),
                KeyValue::new(semconv::NETWORK_TRANSPORT, "unix"),
            ],
        }
    }

    /// Connects, with TLS where there is a client for it. A Unix socket is used without TLS.
    pub(crate) async fn open(
        &self,
        cx: &Context,
        tls: Option<&TlsClient>,
    ) -> Result<Stream, Failure> {
        match (self, tls) {
            (Self::Tcp(endpoint), None) => connect(cx, endpoint).await.map(Stream::Plain),
            (Self::Tcp(endpoint), Some(client)) => {
                let stream = connect(cx, endpoint).await?;
                handshake(cx, client, endpoint, stream).await.map(Stream::Tls)
            }
            (Self::Unix(path), _) => {
                let stream = cx.phase(Phase::Connect, UnixStream::connect(path)).await;
                stream.map(Stream::Unix).map_err(|error| self.unconnected(&error))
            }
        }
    }

    fn unconnected(&self, error: &io::Error) -> Failure {
        let failure = failure(format_args!("connecting to {self}"), error);
        let reason = match error.kind() {
            // Whoever listens makes the file of the socket.
            io::ErrorKind::NotFound => Reason::ConnectionRefused,
            // The queue of connections that wait to be accepted is full.
            io::ErrorKind::WouldBlock => Reason::Overloaded,
            _ => return failure,
        };
        Failure::new(reason, failure.message())
    }
}

impl From<Endpoint> for ServerAddress {
    fn from(endpoint: Endpoint) -> Self {
        Self::Tcp(endpoint)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => endpoint.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixListener;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_socket_has_a_path_and_no_port() {
        let address = ServerAddress::unix("/run/redis.sock").unwrap();
        assert_eq!(address.to_string(), "/run/redis.sock");
        assert_eq!(address.server(), Server { address: "/run/redis.sock".into(), port: None });
        assert!(ServerAddress::unix("redis.sock").is_err());
        let tcp = ServerAddress::from(Endpoint::parse("cache:6379").unwrap());
        assert_eq!(tcp.to_string(), "cache:6379");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_refuses() {
        let cx = Context::new(Instant::now() + Duration::from_secs(20), None);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let address = ServerAddress::unix(&path).unwrap();
        let missing = address.open(&cx, None).await.unwrap_err();
        assert_eq!(missing.reason(), Reason::ConnectionRefused);
        let listener = UnixListener::bind(&path).unwrap();
        address.open(&cx, None).await.expect("somebody listens");
        drop(listener);
        let left = address.open(&cx, None).await.unwrap_err();
        assert_eq!(left.reason(), Reason::ConnectionRefused, "{}", left.message());
        assert!(left.message().starts_with(&format!("connecting to {}", path.display())));
    }
}
