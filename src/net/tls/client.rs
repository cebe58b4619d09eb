//! TLS towards a dependency: options to a configuration when a check is made, handshakes when it
//! runs.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use opentelemetry_semantic_conventions::attribute as semconv;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{ConfigPath, OptionError, TlsOptions};
use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};
use crate::net::endpoint::{Endpoint, Host};
use crate::net::failure::{brief, failure, tls_error};
use crate::net::mysql_port;

use super::chain::Chain;
use super::crypto::{KNOWN_KEYS, provider};
use super::verify::{Roots, Trust, Verifier};

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

    /// Its configuration for one handshake, and what verifies that.
    fn for_one_handshake(&self) -> (Arc<ClientConfig>, Arc<Verifier>) {
        let mut config = ClientConfig::clone(&self.config);
        let verifier = Arc::new(Verifier::new(self.trust.clone()));
        config.dangerous().set_certificate_verifier(Arc::clone(&verifier) as _);
        (Arc::new(config), verifier)
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

/// Speaks TLS over `stream`, which leads to `endpoint`.
///
/// How long the dependency's certificates last is recorded even when they are not trusted.
pub(crate) async fn handshake(
    cx: &Context,
    client: &TlsClient,
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Result<Box<TlsConnection>, Failure> {
    let name = client.name_for(endpoint.host())?;
    let stream = unless_mysql(cx, client, endpoint, stream).await?;
    let (config, verifier) = client.for_one_handshake();
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
async fn unless_mysql(
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

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn configure(
    trust: &Trust,
    identity: Option<Identity>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(brief)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(trust.clone())));
    let mut config = match identity {
        Some((chain, key)) => {
            // Asked on its own, so that a key that is not known is not taken for one that does
            // not fit.
            provider().key_provider.load_private_key(key.clone_key()).map_err(|_| {
                format!("the private key is not supported; {KNOWN_KEYS}, P-521 apart, would be")
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("{}; it must be the private key of tls.cert", brief(error))
            })?
        }
        None => builder.with_no_client_auth(),
    };
    // A resumed session shows no certificate: its expiry or exchange would go unseen.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

fn trust(options: &TlsOptions) -> Result<Trust, OptionError> {
    match (&options.ca, options.insecure) {
        (Some(_), true) => Err(OptionError::new(
            "tls.insecure",
            "any certificate is accepted, so `ca` has no effect; leave out one of the two",
        )),
        (None, true) => Ok(Trust::Any),
        (Some(ca), false) => {
            let mut roots = Roots::default();
            for certificate in certificates(ca, "tls.ca")? {
                roots.add(certificate).map_err(|error| {
                    let text =
                        format!("{} holds an invalid certificate: {}", shown(ca), brief(error));
                    OptionError::new("tls.ca", format!("{text}; it must hold authorities as PEM"))
                })?;
            }
            Ok(Trust::Roots(Arc::new(roots)))
        }
        (None, false) => system_trust().map_err(|error| OptionError::new("tls.ca", error)),
    }
}

/// Trust in the system's authorities, which are read once.
fn system_trust() -> Result<Trust, String> {
    static TRUST: OnceLock<Result<Trust, String>> = OnceLock::new();
    let trust = TRUST.get_or_init(|| {
        let mut roots = Roots::default();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // Some systems have certificates among them that nobody can read.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err("this system has no authorities to trust; \
                        install its ca-certificates or name a PEM file"
                .to_owned());
        }
        Ok(Trust::Roots(Arc::new(roots)))
    });
    trust.clone()
}

fn identity(options: &TlsOptions) -> Result<Option<Identity>, OptionError> {
    match (&options.cert, &options.key) {
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(OptionError::new("tls.cert", "a client certificate needs its key; add `key`"))
        }
        (None, Some(_)) => {
            Err(OptionError::new("tls.key", "a client key needs its certificate; add `cert`"))
        }
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "tls.cert")?;
            let pem = read(key, "tls.key")?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
                let text = format!("{} holds no private key", shown(key));
                OptionError::new("tls.key", format!("{text}; it must hold one as PEM"))
            })?;
            Ok(Some((chain, key)))
        }
    }
}

fn server_name(options: &TlsOptions) -> Result<Option<ServerName<'static>>, OptionError> {
    let Some(name) = &options.server_name else { return Ok(None) };
    ServerName::try_from(name.trim_end_matches('.').to_owned()).map(Some).map_err(|_| {
        let text = "this is no host name or address; write the name on the certificate";
        OptionError::new("tls.server_name", text)
    })
}

fn certificates(
    file: &ConfigPath,
    option: &str,
) -> Result<Vec<CertificateDer<'static>>, OptionError> {
    let pem = read(file, option)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        let text = format!("{} holds no certificate; it must hold them as PEM", shown(file));
        OptionError::new(option, text)
    })
}

fn read(file: &ConfigPath, option: &str) -> Result<Vec<u8>, OptionError> {
    std::fs::read(&file.0).map_err(|error| {
        let text = format!("{} cannot be read: {error}; it must be a PEM file", shown(file));
        OptionError::new(option, text)
    })
}

fn shown(file: &ConfigPath) -> std::path::Display<'_> {
    Path::display(&file.0)
}
