//! How a user proves who they are.
//!
//! # Which methods there are
//! The server names a method for each user. Passwords that are sent as they are go over TLS or a
//! socket of this host alone. Without either, MySQL's methods by SHA-256 encrypt the password by
//! RSA, which this client does not.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};

/// A method of logging in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// `mysql_native_password`: SHA-1 over the server's random bytes.
    Native,
    /// `caching_sha2_password`: SHA-256 where the server has seen the password lately, or else the
    /// password.
    CachingSha2,
    /// `sha256_password`: the password.
    Sha256,
    /// `client_ed25519` of MariaDB: a signature by a key that is made of the password.
    Ed25519,
}

impl Method {
    /// Each method by its name in the protocol.
    const NAMES: [(&'static str, Self); 4] = [
        ("mysql_native_password", Self::Native),
        ("caching_sha2_password", Self::CachingSha2),
        ("sha256_password", Self::Sha256),
        ("client_ed25519", Self::Ed25519),
    ];

    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, method)| *method)
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }

    /// What is sent for `password` and the server's random bytes; `None` where it would be the
    /// password over a connection that others can read.
    pub(super) fn answer(self, password: &str, random: &[u8], private: bool) -> Option<Vec<u8>> {
        let password = password.as_bytes();
        match self {
            Self::Sha256 if private => Some([password, b"\0"].concat()),
            // An empty password is no secret.
            Self::Sha256 => password.is_empty().then(|| vec![0]),
            Self::Ed25519 => Some(signature(password, random)),
            _ if password.is_empty() => Some(Vec::new()),
            Self::Native => Some(native(password, random)),
            Self::CachingSha2 => Some(caching_sha2(password, random)),
        }
    }
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    digest(algorithm, &parts.concat()).as_ref().to_vec()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// SHA1(password) XOR SHA1(random + SHA1(SHA1(password))).
fn native(password: &[u8], random: &[u8]) -> Vec<u8> {
    let sha1 = |parts: &[&[u8]]| hash(&SHA1_FOR_LEGACY_USE_ONLY, parts);
    let once = sha1(&[password]);
    xor(&once, &sha1(&[random, &sha1(&[&once])]))
}

/// SHA256(password) XOR SHA256(SHA256(SHA256(password)) + random).
fn caching_sha2(password: &[u8], random: &[u8]) -> Vec<u8> {
    let sha256 = |parts: &[&[u8]]| hash(&SHA256, parts);
    let once = sha256(&[password]);
    xor(&once, &sha256(&[&sha256(&[&once]), random]))
}

/// Ed25519 (RFC 8032, section 5.1.6) of `message`, with a password of any length where the
/// standard has a seed of 32 bytes.
fn signature(password: &[u8], message: &[u8]) -> Vec<u8> {
    let sha512 = |parts: &[&[u8]]| {
        let mut hashed = [0; 64];
        hashed.copy_from_slice(&hash(&SHA512, parts));
        hashed
    };
    let reduced = |parts: &[&[u8]]| Scalar::from_bytes_mod_order_wide(&sha512(parts));
    let point = |scalar: &Scalar| EdwardsPoint::mul_base(scalar).compress().to_bytes();
    let expanded = sha512(&[password]);
    let (low, high) = expanded.split_at(32);
    let mut secret = [0; 32];
    secret.copy_from_slice(low);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(secret));
    let once = reduced(&[high, message]);
    let commitment = point(&once);
    let challenge = reduced(&[&commitment, &point(&secret), message]);
    let proof = once + challenge * secret;
    [commitment, proof.to_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn a_password_of_32_bytes_signs_as_the_seed_of_the_standard() {
        let seed = b"0123456789abcdefghijklmnopqrstuv";
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed");
        for message in [&b""[..], b"random", &[7; 32]] {
            assert_eq!(signature(seed, message), pair.sign(message).as_ref());
        }
        assert_eq!(pair.public_key().as_ref().len(), 32);
        assert_eq!(signature(b"short", b"random").len(), 64);
    }

    #[test]
    fn a_password_is_sent_as_it_is_only_where_nobody_reads_along() {
        let random = [1; 20];
        assert_eq!(Method::Sha256.answer("pw", &random, true).as_deref(), Some(&b"pw\0"[..]));
        assert_eq!(Method::Sha256.answer("pw", &random, false), None);
        for method in [Method::Native, Method::CachingSha2, Method::Ed25519] {
            let sent = method.answer("pw", &random, false).expect("an answer");
            assert!(!sent.is_empty() && !sent.windows(2).any(|part| part == b"pw"), "{method:?}");
            assert_eq!(Method::named(method.name().as_bytes()), Some(method));
        }
        assert_eq!(Method::Native.answer("", &random, false).as_deref(), Some(&[][..]));
        assert_eq!(Method::named(b"dialog"), None);
    }
}
