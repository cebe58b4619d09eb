//! Verifies a server's certificate.
//!
//! # What is trusted
//! A certificate from which a path of signatures leads to an authority of `tls.ca`, or of the
//! system where that is left out; `webpki` builds the path. Beyond what `webpki` takes, the very
//! certificate that `tls.ca` names is trusted as it is: a self-signed one, as `openssl req -x509`
//! makes it, is an authority by its own words, and older ones are of version 1. With `insecure`
//! every certificate is trusted, and nothing in it is looked at.
//!
//! # What is reported
//! The times of the path that verifies, and not of certificates that a server sends without need.
//! They are reported also where the certificate is then not trusted.
//!
//! # When it is reported
//! At once, which ends the handshake. A protocol whose server counts an unfinished handshake
//! against its client asks for the verdict after the handshake instead, ends the connection in
//! order, and has sent no secret by then.
//!
//! # Limits
//! What this client cannot verify is an error that says so, because the server is not at fault.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity, VerifiedPath};

use super::chain::{Chain, parse};
use super::crypto::{ALGORITHMS, SCHEMES, any_scheme};
use super::limits::{Limit, of_path};
use super::names;

/// Which certificates are trusted.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// Those that lead to one of these, and are for the server's name.
    Roots(Arc<Roots>),
    /// Those that lead to one of these, whatever name they are for.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "MySQL judges later than others"))]
    RootsOfAnyName(Arc<Roots>),
    /// All.
    Any,
}

/// Whether a path that verifies is taken.
type Accept<'a> = &'a dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>;

/// Certificates that are trusted as they are, or as authorities.
#[derive(Debug, Default)]
pub(super) struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    /// Those of the certificates that `webpki` can read, each with when it expires.
    anchors: Vec<TrustAnchor<'static>>,
    ends: Vec<Option<i64>>,
}

impl Roots {
    /// Adds a certificate.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), Error> {
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?
            .to_owned();
        self.anchors.push(anchor);
        self.ends.push(parse(&certificate).map(|c| c.validity().not_after.timestamp()));
        self.certificates.push(certificate);
        Ok(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    fn end_of(&self, anchor: &TrustAnchor<'_>) -> Option<i64> {
        let index = self.anchors.iter().position(|known| std::ptr::eq(known, anchor))?;
        self.ends[index]
    }

    /// Verifies `own`, for `name` where one is asked for, and returns its chain where a path
    /// verifies.
    fn verify(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> (Option<Chain>, Result<(), Error>) {
        if self.certificates.iter().any(|known| known.as_ref() == own.as_ref()) {
            let verdict = names::named_itself(own, name, now);
            return (Chain::of_path(own, others, &[], None), verdict);
        }
        let own_read = match EndEntityCert::try_from(own) {
            Ok(own) => own,
            Err(error) => return (None, Err(of_path(error, own, others))),
        };
        // A path whose root has not expired is preferred, but clients differ on whether the end
        // of a root counts: where there is no other path it is trusted, and its end reported.
        let lasting = |path: &VerifiedPath<'_>| {
            let end = self.end_of(path.anchor()).and_then(|end| u64::try_from(end).ok());
            match end.map(|end| UnixTime::since_unix_epoch(std::time::Duration::from_secs(end))) {
                Some(not_after) if not_after < now => {
                    Err(webpki::Error::CertExpired { time: now, not_after })
                }
                _ => Ok(()),
            }
        };
        let search = |accept: Option<Accept<'_>>| {
            let path = own_read.verify_for_usage(
                ALGORITHMS,
                &self.anchors,
                others,
                now,
                KeyUsage::server_auth(),
                None,
                accept,
            )?;
            let between: Vec<_> = path.intermediate_certificates().map(webpki::Cert::der).collect();
            Ok(Chain::of_path(own, others, &between, self.end_of(path.anchor())))
        };
        let chain = match search(Some(&lasting)).or_else(|_| search(None)) {
            Ok(chain) => chain,
            Err(error) => return (None, Err(of_path(error, own, others))),
        };
        let named = name.map_or(Ok(()), |name| own_read.verify_is_valid_for_subject_name(name));
        (chain, named.map_err(|error| of_path(error, own, others)))
    }
}

/// Verifies the certificate of one handshake, and keeps its chain.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    chain: OnceLock<Chain>,
    /// Whether the handshake goes on where the certificate is not trusted.
    deferred: bool,
    /// Why the certificate is not trusted, where the handshake went on.
    distrust: OnceLock<Error>,
}

impl Verifier {
    pub(super) const fn new(trust: Trust) -> Self {
        Self { trust, chain: OnceLock::new(), deferred: false, distrust: OnceLock::new() }
    }

    /// A verifier that lets the handshake end, and is then asked for its verdict.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "MySQL judges later than others"))]
    pub(super) const fn deferred(trust: Trust) -> Self {
        Self { trust, chain: OnceLock::new(), deferred: true, distrust: OnceLock::new() }
    }

    /// Why the certificate is not trusted, after a handshake that went on.
    pub(super) fn distrust(&self) -> Option<&Error> {
        self.distrust.get()
    }

    /// The chain, once the server has shown its certificates.
    pub(super) fn chain(&self) -> Option<Chain> {
        self.chain.get().copied()
    }

    /// Verifies the signature of a handshake by one of `algorithms`.
    ///
    /// A client that trusts any certificate gains nothing from it: whoever stands in between would
    /// show a certificate of its own and sign with that.
    fn verify_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        tls13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        if matches!(self.trust, Trust::Any) || self.distrust().is_some() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let offered = SCHEMES.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let Some((_, algorithms)) = offered.filter(|(scheme, _)| !tls13 || in_tls13(*scheme))
        else {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        };
        let own_read = parse(own).ok_or(CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(own_read.public_key().raw);
        let key = RawPublicKeyEntity::try_from(&key).map_err(|error| of_path(error, own, &[]))?;
        let mut wrong = webpki::Error::InvalidSignatureForPublicKey;
        for algorithm in *algorithms {
            // TLS 1.3 ties a curve to its hash; RSA-PSS alone has two spellings of one key.
            if tls13 && is_ecdsa(signed.scheme) && !std::ptr::eq(*algorithm, algorithms[0]) {
                break;
            }
            match key.verify_signature(*algorithm, message, signed.signature()) {
                Ok(()) => return Ok(HandshakeSignatureValid::assertion()),
                Err(error @ webpki::Error::InvalidSignatureForPublicKey) => {
                    wrong = error;
                    break;
                }
                Err(error) => wrong = error,
            }
        }
        Err(of_path(wrong, own, &[]))
    }
}

const fn is_ecdsa(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
    )
}

/// RFC 8446, section 4.2.3: of RSA only PSS is left.
const fn in_tls13(scheme: SignatureScheme) -> bool {
    !matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (chain, verdict) = match &self.trust {
            Trust::Any => (None, Ok(())),
            Trust::Roots(roots) => roots.verify(own, others, Some(name), now),
            Trust::RootsOfAnyName(roots) => roots.verify(own, others, None, now),
        };
        if let Some(chain) = chain.or_else(|| Chain::by_names(own, others)) {
            let _ = self.chain.set(chain);
        }
        // The key is judged with the certificate: its signature would only be wrong.
        let verdict = verdict.and_then(|()| match &self.trust {
            Trust::Any => Ok(()),
            _ => Limit::of_key(own).map_or(Ok(()), |limit| Err(limit.into())),
        });
        match verdict {
            Err(error) if self.deferred => {
                let _ = self.distrust.set(error);
            }
            verdict => verdict?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, own, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, own, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self.trust {
            Trust::Any => any_scheme(),
            _ => SCHEMES.iter().map(|(scheme, _)| *scheme).collect(),
        }
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
