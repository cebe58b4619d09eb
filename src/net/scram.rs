//! Logging in by SCRAM (RFC 5802) with SHA-1, SHA-256 (RFC 7677) or SHA-512, as a client without channel
//! binding: the password is proved, never sent, and the server proves that it knows it as well.
//!
//! Input: a user, a password and the server's messages. Output: the messages to send. A protocol
//! that wants names and passwords prepared (SASLprep, RFC 4013) prepares them before.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use thiserror::Error;

use crate::config::Secret;
use crate::model::Reason;

/// Fewest iterations that are accepted, as RFC 7677 has it: with fewer, whoever poses as the server
/// could guess the password from the proof.
const FEWEST: u32 = 4_096;

/// Most iterations: a tenth of a second of one core, where servers ask for about 10,000.
const MOST: u32 = 100_000;

/// The header `n,,`, which says that no channel is bound, in Base64.
const NO_BINDING: &str = "c=biws";

/// The hash that both sides use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    /// SHA-1, as MongoDB still has it.
    #[cfg(feature = "mongodb")]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512, as Kafka has it.
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            #[cfg(feature = "mongodb")]
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            #[cfg(feature = "mongodb")]
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// What `text` signed with `key` yields.
    fn sign(self, key: &[u8], text: &str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), text.as_bytes())
    }
}

/// Why a login failed. The texts hold nothing but what the server itself said of the cause.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ScramError {
    /// This side has no random numbers, or shuts down.
    #[error("this system cannot compute what a login takes")]
    Unable,
    /// The server's words are in no form of SCRAM.
    #[error("the server does not keep to SCRAM")]
    Malformed,
    /// The number of iterations is outside what is accepted.
    #[error("the server wants {0} iterations of the hash; from {FEWEST} to {MOST} are accepted")]
    Iterations(u32),
    /// The server refuses the login, with this cause.
    #[error("the server refuses the login: {0}")]
    Refused(String),
    /// The server could not prove that it knows the password.
    #[error("the server cannot prove that it knows the password")]
    Unproved,
}

impl ScramError {
    /// The reason that it stands for.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Unable => Reason::LocalResource,
            Self::Malformed => Reason::Protocol,
            Self::Iterations(_) | Self::Refused(_) | Self::Unproved => Reason::AuthFailed,
        }
    }
}

/// One login: [`first`](Self::first) is sent, what the server answers goes to
/// [`respond`](Self::respond), the text of that is sent, and the last answer goes to
/// [`verify`](Self::verify).
pub(crate) struct Scram {
    hash: Hash,
    password: Secret,
    /// The first message without its header.
    bare: String,
    nonce: String,
    /// The key that signs what the server must say at last, and what it signs.
    expected: Option<(hmac::Key, String)>,
}

impl Scram {
    /// A login of `user` with `password`.
    ///
    /// # Errors
    /// When this system gives no random numbers.
    pub(crate) fn new(user: &str, password: &Secret, hash: Hash) -> Result<Self, ScramError> {
        let mut random = [0; 18];
        SystemRandom::new().fill(&mut random).map_err(|_| ScramError::Unable)?;
        Ok(Self::with_nonce(user, password, hash, STANDARD.encode(random)))
    }

    fn with_nonce(user: &str, password: &Secret, hash: Hash, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { hash, password: password.clone(), bare, nonce, expected: None }
    }

    /// The first message to the server.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The second message, made of what the server answered to the first.
    ///
    /// # Errors
    /// When that answer is none of SCRAM's, or asks for too few or too many iterations.
    pub(crate) async fn respond(&mut self, server_first: &str) -> Result<String, ScramError> {
        let Challenge { nonce, salt, iterations } = Challenge::parse(server_first)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Malformed);
        }
        let count = NonZeroU32::new(iterations).filter(|n| (FEWEST..=MOST).contains(&n.get()));
        let count = count.ok_or(ScramError::Iterations(iterations))?;

        let (hash, password) = (self.hash, self.password.clone());
        // Milliseconds at full speed: long enough to hold up the other checks of this thread. A run
        // that is cancelled leaves it to end by itself, which the bound above makes soon.
        let salted = tokio::task::spawn_blocking(move || {
            let mut salted = vec![0; hash.hmac().digest_algorithm().output_len()];
            let password = password.expose().as_bytes();
            pbkdf2::derive(hash.pbkdf2(), count, &salt, password, &mut salted);
            salted
        });
        // It does not panic; only a runtime that shuts down gives no result.
        let salted = salted.await.map_err(|_| ScramError::Unable)?;

        let without_proof = format!("{NO_BINDING},r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = hash.sign(&salted, "Client Key");
        let stored_key = digest::digest(hash.hmac().digest_algorithm(), client_key.as_ref());
        let signature = hash.sign(stored_key.as_ref(), &signed);
        let proof = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, by)| key ^ by);
        let proof = STANDARD.encode(proof.collect::<Vec<_>>());
        let server_key = hash.sign(&salted, "Server Key");
        self.expected = Some((hmac::Key::new(hash.hmac(), server_key.as_ref()), signed));
        Ok(format!("{without_proof},p={proof}"))
    }

    /// Whether the server's last answer proves that it knows the password.
    ///
    /// # Errors
    /// When it does not, or the server refuses the login instead.
    pub(crate) fn verify(&self, server_final: &str) -> Result<(), ScramError> {
        let first = server_final.split(',').next().unwrap_or_default();
        if let Some(cause) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(cause.to_owned()));
        }
        let signature = first.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or(ScramError::Malformed)?;
        let (key, signed) = self.expected.as_ref().ok_or(ScramError::Malformed)?;
        hmac::verify(key, signed.as_bytes(), &signature).map_err(|_| ScramError::Unproved)
    }
}

/// What a server answers to the first message.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    fn parse(text: &'a str) -> Result<Self, ScramError> {
        if let Some(cause) = text.strip_prefix("e=") {
            return Err(ScramError::Refused(cause.to_owned()));
        }
        // Extensions may follow; one before them, `m=`, is one that must be understood.
        let mut fields = text.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
        let fields = (field("r="), field("s="), field("i="));
        let (Some(nonce), Some(salt), Some(iterations)) = fields else {
            return Err(ScramError::Malformed);
        };
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty());
        let digits = !iterations.is_empty() && iterations.bytes().all(|b| b.is_ascii_digit());
        let salt = salt.filter(|_| digits).ok_or(ScramError::Malformed)?;
        // A number that does not fit is too large as well.
        Ok(Self { nonce, salt, iterations: iterations.parse().unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn login(user: &str, password: &str, hash: Hash) -> Scram {
        Scram::with_nonce(user, &Secret::new(password), hash, NONCE.to_owned())
    }

    #[tokio::test]
    async fn the_example_of_rfc_7677_is_reproduced() {
        let mut scram = login("user", "pencil", Hash::Sha256);
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let wanted = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(scram.respond(FIRST).await.as_deref(), Ok(wanted));
        assert_eq!(scram.verify(FINAL), Ok(()));
    }

    #[cfg(feature = "mongodb")]
    #[tokio::test]
    async fn the_example_of_rfc_5802_is_reproduced() {
        let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
        let mut scram = Scram::with_nonce("user", &Secret::new("pencil"), Hash::Sha1, nonce);
        let first = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let wanted = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                      p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
        assert_eq!(scram.respond(first).await.as_deref(), Ok(wanted));
        assert_eq!(scram.verify("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), Ok(()));
    }

    /// The proof and the signature were computed with Python's `hashlib`.
    #[tokio::test]
    async fn sha_512_takes_the_same_steps() {
        let mut scram = login("user", "pencil", Hash::Sha512);
        let second = scram.respond(FIRST).await.unwrap();
        let proof = "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
        assert_eq!(second.split_once("p=").unwrap().1, proof);
        let signature = "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";
        assert_eq!(scram.verify(&format!("v={signature}")), Ok(()));
    }

    #[tokio::test]
    async fn a_server_that_does_not_know_the_password_is_not_believed() {
        let mut scram = login("user", "another", Hash::Sha256);
        assert_eq!(scram.verify(FINAL), Err(ScramError::Malformed), "before its turn");
        scram.respond(FIRST).await.unwrap();
        assert_eq!(scram.verify(FINAL), Err(ScramError::Unproved));
        assert_eq!(scram.verify("v="), Err(ScramError::Unproved));
        assert_eq!(scram.verify("v=no Base64"), Err(ScramError::Malformed));
        let refused = ScramError::Refused("invalid-proof".to_owned());
        assert_eq!(scram.verify("e=invalid-proof"), Err(refused));
    }

    #[tokio::test]
    async fn a_challenge_that_is_not_right_is_refused() {
        let respond = async |text: &str| {
            let text = text.replace('N', NONCE);
            login("user", "pencil", Hash::Sha256).respond(&text).await.map(|_| ())
        };
        let malformed = Err(ScramError::Malformed);
        assert_eq!(respond("r=Nx,s=QQ==,i=4096,x=more").await, Ok(()));
        for wrong in [
            "",
            "r=N,s=QQ==,i=4096",
            "r=another,s=QQ==,i=4096",
            "m=x,r=Nx,s=QQ==,i=4096",
            "r=Nx,s=?,i=4096",
            "r=Nx,s=,i=4096",
            "r=Nx,s=QQ==,i=+4096",
            "r=Nx,s=QQ==",
        ] {
            assert_eq!(respond(wrong).await, malformed, "{wrong}");
        }
        let wants = |n| Err(ScramError::Iterations(n));
        assert_eq!(respond("r=Nx,s=QQ==,i=4095").await, wants(4095));
        assert_eq!(respond("r=Nx,s=QQ==,i=0").await, wants(0));
        assert_eq!(respond("r=Nx,s=QQ==,i=100001").await, wants(100_001));
        assert_eq!(respond("r=Nx,s=QQ==,i=99999999999").await, wants(u32::MAX));
        let refused = ScramError::Refused("unknown-user".to_owned());
        assert_eq!(respond("e=unknown-user").await, Err(refused));
    }

    #[test]
    fn a_name_is_escaped_and_each_login_has_a_nonce_of_its_own() {
        let scram = login("a=b,c", "", Hash::Sha256);
        assert_eq!(scram.first(), format!("n,,n=a=3Db=2Cc,r={NONCE}"));
        let first = || {
            Scram::new("user", &Secret::new("pencil"), Hash::Sha256)
                .unwrap_or_else(|_| panic!())
                .first()
        };
        assert_ne!(first(), first());
    }

    proptest! {
        #[test]
        fn no_words_of_a_server_panic(text in "[rsime]=[A-Za-z0-9+/=,]{0,30}") {
            let _ = Challenge::parse(&text);
            let _ = login("user", "pencil", Hash::Sha256).verify(&text);
        }
    }
}
