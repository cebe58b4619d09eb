//! Keys of NATS (NKeys): Ed25519 keys, written in Base32 with a prefix and a checksum.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The prefixes, each in the upper five bits of its byte: `S` for a seed and `U` for a user.
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;

/// Bytes of a seed without its prefix and checksum.
const LENGTH: usize = 32;

/// The key of a user, which can sign.
#[derive(Debug)]
pub(super) struct UserKey(Ed25519KeyPair);

impl UserKey {
    /// Reads a seed, such as `SUAC…`; `None` where the text is not the seed of a user.
    pub(super) fn from_seed(text: &str) -> Option<Self> {
        let bytes = BASE32_NOPAD.decode(text.trim().as_bytes()).ok()?;
        let (payload, sum) = bytes.split_last_chunk::<2>()?;
        if u16::from_le_bytes(*sum) != checksum(payload) {
            return None;
        }
        // The prefix of what the seed is for begins in the lower bits of the first byte.
        let ([first, second], seed) = payload.split_first_chunk::<2>()?;
        let of = (first << 5) | (second >> 3);
        if first & 0xf8 != SEED || of != USER || seed.len() != LENGTH {
            return None;
        }
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The public key, such as `UDXU…`.
    pub(super) fn public(&self) -> String {
        let mut bytes = [&[USER][..], self.0.public_key().as_ref()].concat();
        bytes.extend(checksum(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    /// The signature of what a server has sent to be signed.
    pub(super) fn sign(&self, nonce: &str) -> String {
        BASE64URL_NOPAD.encode(self.0.sign(nonce.as_bytes()).as_ref())
    }
}

/// CRC-16 with the polynomial of XMODEM.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| {
            if sum & 0x8000 == 0 { sum << 1 } else { (sum << 1) ^ 0x1021 }
        })
    })
}

/// What a credentials file holds: the JWT of a user, and the seed that belongs to it.
pub(super) fn credentials(text: &str) -> Option<(&str, &str)> {
    Some((block(text, "NATS USER JWT")?, block(text, "USER NKEY SEED")?))
}

/// The line between the lines `BEGIN` and `END` of this name.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("BEGIN {name}"))?;
    let line = rest.lines().skip(1).map(str::trim).find(|line| !line.is_empty())?;
    (!line.starts_with('-')).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the library `nkeys` of NATS.
    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

    #[test]
    fn a_seed_yields_the_public_key_and_signs() {
        let key = UserKey::from_seed(SEED).expect("a seed");
        assert_eq!(key.public(), "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
        let signature = BASE64URL_NOPAD.decode(key.sign("nonce").as_bytes()).expect("Base64");
        let public = ring::signature::UnparsedPublicKey::new(
            &ring::signature::ED25519,
            key.0.public_key().as_ref(),
        );
        assert!(public.verify(b"nonce", &signature).is_ok());
        assert!(UserKey::from_seed(&format!("\n{SEED}\n")).is_some());
    }

    #[test]
    fn what_is_no_seed_of_a_user_is_refused() {
        let public = UserKey::from_seed(SEED).expect("a seed").public();
        let wrong_sum = SEED.replace("VY", "VA");
        let lower = SEED.to_ascii_lowercase();
        // The seed of an account.
        let account = "SAAPN4W3EG6KCJGUQTKTJ5GSB5NHK5CHAJL4DBGFUM3HHROI4XUEP4OBK4";
        for wrong in ["", "SU", &public, &wrong_sum, &lower, account, &SEED[..57]] {
            assert!(UserKey::from_seed(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_credentials_file_holds_a_token_and_a_seed() {
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             -----BEGIN USER NKEY SEED-----\r\n{SEED}\r\n------END USER NKEY SEED------\r\n"
        );
        assert_eq!(credentials(&file), Some(("eyJ0", SEED)));
        for wrong in [
            "eyJ0",
            "-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------",
            "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------",
        ] {
            assert_eq!(credentials(wrong), None, "{wrong}");
        }
    }
}
