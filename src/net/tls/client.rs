//! The TLS client: builds a configuration from options when a check is built, and does handshakes
//! when it runs.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use opentelemetry_semantic_conventions::attribute as semconv;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{OptionError, TlsOptions};
use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};
use crate::net::endpoint::{Endpoint, Host};
use crate::net::failure::{failure, tls_error};
use crate::net::mysql_port;

use super::chain::Chain;
use super::config::{configure, identity, server_name, trust};
use super::verify::{Trust, Verifier};

/// How a check speaks TLS; made once, from its options.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    trust: Trust,
    /// The name to ask for and to verify, where it is not the host's.
    name: Option<ServerName<'static>>,
    /// Whose certificates it sees.
    peer: Peer,
    /// How long before the end of a chain to warn, where that was configured.
    warn_before: Option<Duration>,
    /// Whether the server answered a handshake with something else, and may have spoken first.
    speaks_first: Arc<AtomicBool>,
}

/// What the peers of a [`TlsClient`] are to its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// The dependency: how long its certificates last is a figure of the run.
    Dependency,
    /// A host that the dependency redirects to.
    #[cfg(feature = "http")]
    RedirectTarget,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Makes a client of `options`, which offers the protocols `alpn`, and reads their files.
    ///
    /// # Errors
    /// Every option that is wrong, at `tls.…`.
    pub(crate) fn new(options: &TlsOptions, alpn: &[&[u8]]) -> Result<Self, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut keep = |error: OptionError| errors.push(error);
        let trust = trust(options).map_err(&mut keep).ok();
        let identity = identity(options).map_err(&mut keep).ok();
        let name = server_name(options).map_err(&mut keep).ok();
        let (Some(trust), Some(identity), Some(name)) = (trust, identity, name) else {
            return Err(errors);
        };
        let config = configure(&trust, identity, alpn)
            .map_err(|error| vec![OptionError::new("tls.key", error)])?;
        let (config, peer) = (Arc::new(config), Peer::Dependency);
        let speaks_first = Arc::default();
        Ok(Self { config, trust, name, peer, warn_before: None, speaks_first })
    }

    /// The same trust without what belongs to one peer: its name and the client's certificate.
    ///
    /// # Errors
    /// As [`TlsClient::new`].
    #[cfg(feature = "http")]
    pub(crate) fn for_redirects(
        options: &TlsOptions,
        alpn: &[&[u8]],
    ) -> Result<Self, Vec<OptionError>> {
        let TlsOptions { ca, insecure, .. } = options.clone();
        let client = Self::new(&TlsOptions { ca, insecure, ..TlsOptions::default() }, alpn)?;
        Ok(Self { peer: Peer::RedirectTarget, ..client })
    }

    /// The same client, whose runs report `warn_before` as the time before the end of a chain at
    /// which a warning begins.
    pub(crate) fn warning_before(self, warn_before: Option<Duration>) -> Self {
        Self { warn_before, ..self }
    }

    /// The same client, which verifies a certificate for no name.
    #[cfg(feature = "mysql")]
    pub(crate) fn of_any_name(self) -> Self {
        let trust = match self.trust {
            Trust::Roots(roots) => Trust::RootsOfAnyName(roots),
            trust => trust,
        };
        Self { trust, ..self }
    }

    /// Its configuration for one handshake that `verifier` verifies.
    fn verified_by(&self, verifier: &Arc<Verifier>) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.dangerous().set_certificate_verifier(Arc::clone(verifier) as _);
        Arc::new(config)
    }

    fn name_for(&self, host: &Host) -> Result<ServerName<'static>, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        match host {
            Host::Ip(ip) => Ok((*ip).into()),
            Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| {
                    let text = format!("{name} is no name that a certificate can hold");
                    Failure::new(Reason::TlsNameMismatch, text)
                }),
        }
    }
}

/// The configuration of a TLS client that trusts what a check with these options trusts, for a client
/// that makes its connections itself. The name to ask for is that client's to choose.
///
/// # Errors
/// Every option that is wrong, at `tls.…`.
pub fn client_config(options: &TlsOptions) -> Result<ClientConfig, Vec<OptionError>> {
    TlsClient::new(options, &[]).map(|client| ClientConfig::clone(&client.config))
}

/// Speaks TLS over `stream`, which leads to `endpoint`.
///
/// How long the dependency's certificates last is recorded even when they are not trusted.
pub(crate) async fn handshake(
    cx: &Context,
    client: &TlsClient,
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Result<Box<TlsConnection>, Failure> {
    let stream = reject_mysql_greeting(cx, client, endpoint, stream).await?;
    let verifier = Arc::new(Verifier::new(client.trust.clone()));
    verified_handshake(cx, client, endpoint, stream, &verifier).await
}

/// Speaks TLS over `stream` to the end of the handshake, and returns why the certificate is not
/// trusted beside the connection: for a protocol whose server counts an unfinished handshake
/// against this host.
///
/// # Errors
/// The handshake did not come to its end.
#[cfg(feature = "mysql")]
pub(crate) async fn handshake_before_verdict(
    cx: &Context,
    client: &TlsClient,
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Result<(Box<TlsConnection>, Result<(), Failure>), Failure> {
    let verifier = Arc::new(Verifier::deferred(client.trust.clone()));
    let connection = verified_handshake(cx, client, endpoint, stream, &verifier).await?;
    let verdict = verifier.distrust().map_or(Ok(()), |error| {
        let error = io::Error::other(error.clone());
        Err(failure(format_args!("the TLS handshake with {endpoint}"), &error))
    });
    Ok((connection, verdict))
}

async fn verified_handshake(
    cx: &Context,
    client: &TlsClient,
    endpoint: &Endpoint,
    stream: TcpStream,
    verifier: &Arc<Verifier>,
) -> Result<Box<TlsConnection>, Failure> {
    let name = client.name_for(endpoint.host())?;
    let config = client.verified_by(verifier);
    let handshake = Box::pin(TlsConnector::from(config).connect(name, stream));
    let result = cx.phase(Phase::Tls, handshake).await;
    let speaks_otherwise = result.as_ref().err().and_then(tls_error).is_some_and(|error| {
        matches!(
            error,
            rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }
        )
    });
    client.speaks_first.store(speaks_otherwise, Ordering::Relaxed);
    let chain = verifier.chain();
    if let (Peer::Dependency, Some(chain)) = (client.peer, chain) {
        chain.note(cx, client.warn_before);
    }
    let stream = result
        .map_err(|error| failure(format_args!("the TLS handshake with {endpoint}"), &error))?;
    let connection = TlsConnection { stream, chain };
    if let Some(version) = connection.version() {
        cx.attribute(semconv::TLS_PROTOCOL_VERSION, version);
    }
    Ok(Box::new(connection))
}

/// Gives `stream` back, unless a server of MySQL greets on it: such a talk is ended by a login that
/// is refused, since MySQL counts a handshake that it did not ask for against this host.
///
/// Only a server that answered the last handshake with something else is waited for.
async fn reject_mysql_greeting(
    cx: &Context,
    client: &TlsClient,
    endpoint: &Endpoint,
    mut stream: TcpStream,
) -> Result<TcpStream, Failure> {
    let expected = client.speaks_first.load(Ordering::Relaxed);
    if !expected && endpoint.port() != mysql_port::PORT {
        return Ok(stream);
    }
    let mut start = [0; 64];
    let patience = cx.remaining() / 4;
    match timeout(patience, stream.peek(&mut start)).await {
        Ok(Ok(length)) if mysql_port::is_greeting(&start[..length]) => {
            mysql_port::FirstWord::default().part(&mut stream, patience).await;
            let text = format!(
                "{endpoint} speaks MySQL, which begins TLS only in its own way; use the kind `mysql`"
            );
            Err(Failure::new(Reason::TlsFailed, text))
        }
        _ => Ok(stream),
    }
}

/// A connection over TLS, and the chain of certificates seen in its handshake.
#[derive(Debug)]
pub(crate) struct TlsConnection {
    stream: TlsStream<TcpStream>,
    chain: Option<Chain>,
}

impl TlsConnection {
    /// The connection below it, and its state.
    pub(crate) fn get_ref(&self) -> (&TcpStream, &ClientConnection) {
        self.stream.get_ref()
    }

    /// How long the peer's certificates last, where they could be read.
    pub(crate) const fn certificates(&self) -> Option<Chain> {
        self.chain
    }

    /// The version of TLS that the two sides agreed on, such as `1.3`.
    pub(crate) fn version(&self) -> Option<&'static str> {
        match self.get_ref().1.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("1.2"),
            ProtocolVersion::TLSv1_3 => Some("1.3"),
            _ => None,
        }
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
