//! The crypto provider: the keys and signatures that this crate supports.
//!
//! `ring` brings RSA, ECDSA with P-256 and P-384, and Ed25519. Two are added here, because healthy
//! servers use them: P-521, and keys that are for RSA-PSS alone. `docs/adr/0008` says
//! why it is `ring`, and what is left out.

use std::sync::{Arc, OnceLock};

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{Signature, VerifyingKey};
use p521::elliptic_curve::sec1::ToEncodedPoint;
use p521::{PublicKey, SecretKey};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SharedSecret, SupportedKxGroup,
    WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};
use webpki::ring as known;

/// What this client knows, in the words of its messages.
pub(super) const KNOWN_KEYS: &str =
    "RSA of 2048 to 8192 bits, ECDSA with P-256, P-384 or P-521, and Ed25519";

/// The provider of every TLS client of the crate.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        let ring = rustls::crypto::ring::default_provider();
        let last: &[&dyn SupportedKxGroup] = &[&P521Exchange];
        Arc::new(CryptoProvider {
            // A server of TLS 1.2 shows a certificate of P-521 only to those who offer the curve.
            kx_groups: [&ring.kx_groups, last].concat(),
            signature_verification_algorithms: WebPkiSupportedAlgorithms {
                all: ALGORITHMS,
                mapping: SCHEMES,
            },
            ..ring
        })
    }))
}

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// The algorithms by which certificates may be signed.
pub(super) static ALGORITHMS: &[Algorithm] = &[
    known::ECDSA_P256_SHA256,
    known::ECDSA_P256_SHA384,
    known::ECDSA_P384_SHA256,
    known::ECDSA_P384_SHA384,
    &P521_SHA256,
    &P521_SHA384,
    &P521_SHA512,
    known::ED25519,
    known::RSA_PKCS1_2048_8192_SHA256,
    known::RSA_PKCS1_2048_8192_SHA384,
    known::RSA_PKCS1_2048_8192_SHA512,
    known::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    known::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    known::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    known::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    known::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    known::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    &PSS_SHA256,
    &PSS_SHA384,
    &PSS_SHA512,
    &PSS_ONLY_SHA256,
    &PSS_ONLY_SHA384,
    &PSS_ONLY_SHA512,
];

/// RFC 8446, section 4.2.3: signatures of keys that are for RSA-PSS alone.
pub(super) const RSA_PSS_PSS_SHA256: SignatureScheme = SignatureScheme::Unknown(0x0809);
pub(super) const RSA_PSS_PSS_SHA384: SignatureScheme = SignatureScheme::Unknown(0x080a);
pub(super) const RSA_PSS_PSS_SHA512: SignatureScheme = SignatureScheme::Unknown(0x080b);

/// The signatures that a handshake may have, each with its algorithms: by preference.
///
/// TLS 1.3 knows only the first algorithm of each.
pub(super) static SCHEMES: &[(SignatureScheme, &[Algorithm])] = &[
    (
        SignatureScheme::ECDSA_NISTP384_SHA384,
        &[known::ECDSA_P384_SHA384, known::ECDSA_P256_SHA384, &P521_SHA384],
    ),
    (
        SignatureScheme::ECDSA_NISTP256_SHA256,
        &[known::ECDSA_P256_SHA256, known::ECDSA_P384_SHA256, &P521_SHA256],
    ),
    (SignatureScheme::ED25519, &[known::ED25519]),
    (SignatureScheme::RSA_PSS_SHA512, &[known::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
    (SignatureScheme::RSA_PSS_SHA384, &[known::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
    (SignatureScheme::RSA_PSS_SHA256, &[known::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
    (SignatureScheme::RSA_PKCS1_SHA512, &[known::RSA_PKCS1_2048_8192_SHA512]),
    (SignatureScheme::RSA_PKCS1_SHA384, &[known::RSA_PKCS1_2048_8192_SHA384]),
    (SignatureScheme::RSA_PKCS1_SHA256, &[known::RSA_PKCS1_2048_8192_SHA256]),
    (SignatureScheme::ECDSA_NISTP521_SHA512, &[&P521_SHA512]),
    (RSA_PSS_PSS_SHA256, &[&PSS_SHA256, &PSS_ONLY_SHA256]),
    (RSA_PSS_PSS_SHA384, &[&PSS_SHA384, &PSS_ONLY_SHA384]),
    (RSA_PSS_PSS_SHA512, &[&PSS_SHA512, &PSS_ONLY_SHA512]),
];

/// Everything that a server may sign with, for a client that does not verify.
pub(super) fn any_scheme() -> Vec<SignatureScheme> {
    let known = SCHEMES.iter().map(|(scheme, _)| *scheme);
    // EdDSA with Ed448, ECDSA with the curves of RFC 8734, ML-DSA, and SHA-1.
    let others = [0x0808, 0x081a, 0x081b, 0x081c, 0x0904, 0x0905, 0x0906, 0x0203, 0x0201];
    known.chain(others.map(SignatureScheme::from)).collect()
}

/// ECDSA with P-521 and one hash.
#[derive(Debug)]
struct P521 {
    signature: AlgorithmIdentifier,
    hash: fn(&[u8]) -> Vec<u8>,
}

static P521_SHA256: P521 =
    P521 { signature: alg_id::ECDSA_SHA256, hash: |text| Sha256::digest(text).to_vec() };
static P521_SHA384: P521 =
    P521 { signature: alg_id::ECDSA_SHA384, hash: |text| Sha384::digest(text).to_vec() };
static P521_SHA512: P521 =
    P521 { signature: alg_id::ECDSA_SHA512, hash: |text| Sha512::digest(text).to_vec() };

/// Length of a number of the curve in bytes.
const P521_LENGTH: usize = 66;

impl SignatureVerificationAlgorithm for P521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        // Every hash is shorter than the curve's numbers. The library refuses those shorter than
        // half, so that the zeros in front are written here.
        let mut number = [0; P521_LENGTH];
        let hash = (self.hash)(message);
        number[P521_LENGTH - hash.len()..].copy_from_slice(&hash);
        key.verify_prehash(&number, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// RSA-PSS by a key whose certificate allows nothing else (RFC 4055, section 3.1).
#[derive(Debug)]
struct PssKey {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    /// The same signature by a key for any use of RSA.
    inner: fn() -> Algorithm,
}

/// A key without parameters: any hash will do.
const ANY_PSS: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a,
]);

static PSS_SHA256: PssKey = PssKey {
    key: ANY_PSS,
    signature: alg_id::RSA_PSS_SHA256,
    inner: || known::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
};
static PSS_SHA384: PssKey = PssKey {
    key: ANY_PSS,
    signature: alg_id::RSA_PSS_SHA384,
    inner: || known::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
};
static PSS_SHA512: PssKey = PssKey {
    key: ANY_PSS,
    signature: alg_id::RSA_PSS_SHA512,
    inner: || known::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
};
static PSS_ONLY_SHA256: PssKey = PssKey { key: alg_id::RSA_PSS_SHA256, ..PSS_SHA256 };
static PSS_ONLY_SHA384: PssKey = PssKey { key: alg_id::RSA_PSS_SHA384, ..PSS_SHA384 };
static PSS_ONLY_SHA512: PssKey = PssKey { key: alg_id::RSA_PSS_SHA512, ..PSS_SHA512 };

impl SignatureVerificationAlgorithm for PssKey {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        (self.inner)().verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// The exchange of keys by P-521.
#[derive(Debug)]
struct P521Exchange;

impl SupportedKxGroup for P521Exchange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let random = rustls::crypto::ring::default_provider().secure_random;
        loop {
            let mut bytes = [0; P521_LENGTH];
            random.fill(&mut bytes).map_err(|GetRandomFailed| Error::FailedToGetRandomBytes)?;
            // The curve's numbers have 521 bits; hardly any of that length is too large.
            bytes[0] &= 1;
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                let public = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
                return Ok(Box::new(P521Started { secret, public }));
            }
        }
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// An exchange whose own key was made.
struct P521Started {
    secret: SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for P521Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // RFC 8446, section 4.2.8.2: the uncompressed form alone.
        let uncompressed = peer.first() == Some(&4);
        let peer = PublicKey::from_sec1_bytes(peer).ok().filter(|_| uncompressed);
        let peer = peer.ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let shared = p521::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(&shared.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}
