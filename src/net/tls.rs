//! TLS towards a dependency: options to a configuration when a check is made, handshakes when it
//! runs.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry_semantic_conventions::attribute as semconv;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{ConfigPath, OptionError, TlsOptions};
use crate::engine::check::{Context, Failure};
use crate::model::Phase;

use super::chain::Witness;
use super::failure::{brief, failure};
use super::{Endpoint, Host};

/// How a check speaks TLS; made once, from its options.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    verifier: Verifier,
    /// The name to ask for and to verify, where it is not the host's.
    name: Option<ServerName<'static>>,
    /// Whose certificates they are that it gets to see.
    party: Party,
    /// How long before the end of a chain to warn, where that was configured.
    warn_before: Option<Duration>,
}

/// Which side of a check the peers of a [`TlsClient`] are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    /// The dependency: how long its certificates last is a figure of the run.
    Dependency,
    /// A host that the dependency pointed to.
    Stranger,
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
        let verifier = verifier(options).map_err(&mut keep).ok();
        let identity = identity(options).map_err(&mut keep).ok();
        let name = server_name(options).map_err(&mut keep).ok();
        let (Some(verifier), Some(identity), Some(name)) = (verifier, identity, name) else {
            return Err(errors);
        };
        let config = configure(Arc::clone(&verifier), identity, alpn)
            .map_err(|error| vec![OptionError::new("tls.key", error)])?;
        Ok(Self {
            config: Arc::new(config),
            verifier,
            name,
            party: Party::Dependency,
            warn_before: None,
        })
    }

    /// The same trust without what belongs to one peer: its name and the client's certificate.
    ///
    /// # Errors
    /// As [`TlsClient::new`].
    pub(crate) fn for_strangers(
        options: &TlsOptions,
        alpn: &[&[u8]],
    ) -> Result<Self, Vec<OptionError>> {
        let TlsOptions { ca, insecure, .. } = options.clone();
        let client = Self::new(&TlsOptions { ca, insecure, ..TlsOptions::default() }, alpn)?;
        Ok(Self { party: Party::Stranger, ..client })
    }

    /// The same client, whose runs report `warn_before` as the time before the end of a chain at
    /// which a warning begins.
    pub(crate) fn warning_before(self, warn_before: Option<Duration>) -> Self {
        Self { warn_before, ..self }
    }

    /// Its configuration for one handshake, and what that will get to see.
    fn witnessed(&self) -> (Arc<ClientConfig>, Arc<Witness>) {
        let mut config = ClientConfig::clone(&self.config);
        let witness = Arc::new(Witness::of(Arc::clone(&self.verifier)));
        config.dangerous().set_certificate_verifier(Arc::clone(&witness) as Verifier);
        (Arc::new(config), witness)
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
                    Failure::new(crate::model::Reason::TlsNameMismatch, text)
                }),
        }
    }
}

/// Speaks TLS over `stream`, which leads to `endpoint`.
///
/// How long the dependency's certificates last is noted even when they are not trusted.
pub(crate) async fn handshake(
    cx: &Context,
    client: &TlsClient,
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Result<Box<TlsStream<TcpStream>>, Failure> {
    let name = client.name_for(endpoint.host())?;
    let (config, witness) = client.witnessed();
    let handshake = Box::pin(TlsConnector::from(config).connect(name, stream));
    let result = cx.phase(Phase::Tls, handshake).await;
    if let (Party::Dependency, Some(chain)) = (client.party, witness.seen()) {
        chain.note(cx, client.warn_before);
    }
    let stream = result
        .map_err(|error| failure(format_args!("the TLS handshake with {endpoint}"), &error))?;
    if let Some(version) = version(&stream) {
        cx.attribute(semconv::TLS_PROTOCOL_VERSION, version);
    }
    Ok(Box::new(stream))
}

/// The version of TLS that the two sides agreed on, such as `1.3`.
pub(crate) fn version(stream: &TlsStream<TcpStream>) -> Option<&'static str> {
    match stream.get_ref().1.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("1.2"),
        ProtocolVersion::TLSv1_3 => Some("1.3"),
        _ => None,
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

pub(super) type Verifier = Arc<dyn ServerCertVerifier>;
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn configure(
    verifier: Verifier,
    identity: Option<Identity>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(brief)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("{}; it must be the private key of tls.cert", brief(error)))?,
        None => builder.with_no_client_auth(),
    };
    // A resumed session shows no certificate: its expiry or exchange would go unseen.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

fn verifier(options: &TlsOptions) -> Result<Verifier, OptionError> {
    match (&options.ca, options.insecure) {
        (Some(_), true) => Err(OptionError::new(
            "tls.insecure",
            "any certificate is accepted, so `ca` has no effect; leave out one of the two",
        )),
        (None, true) => Ok(Arc::new(AnyCertificate(provider()))),
        (Some(ca), false) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca, "tls.ca")? {
                roots.add(certificate).map_err(|error| {
                    let text =
                        format!("{} holds an invalid certificate: {}", shown(ca), brief(error));
                    OptionError::new("tls.ca", format!("{text}; it must hold authorities as PEM"))
                })?;
            }
            trust(roots).map_err(|error| OptionError::new("tls.ca", error))
        }
        (None, false) => system_trust().map_err(|error| OptionError::new("tls.ca", error)),
    }
}

fn trust(roots: RootCertStore) -> Result<Verifier, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map(|verifier| verifier as Verifier)
        .map_err(brief)
}

/// Trust in the system's authorities, which are read once.
fn system_trust() -> Result<Verifier, String> {
    static TRUST: OnceLock<Result<Verifier, String>> = OnceLock::new();
    let trust = TRUST.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this system has no authorities to trust; \
                        install its ca-certificates or name a PEM file"
                .to_owned());
        }
        trust(roots)
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
    ServerName::try_from(name.clone()).map(Some).map_err(|_| {
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

/// Accepts any certificate, for `insecure = true`; the handshake must still be signed by its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
