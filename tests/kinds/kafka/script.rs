//! A peer that answers requests of Kafka's protocol by a script.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::peer::Script;

pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const METADATA: i16 = 3;
pub(crate) const SASL_HANDSHAKE: i16 = 17;
pub(crate) const SASL_AUTHENTICATE: i16 = 36;

/// The number of the first request, which its answer repeats.
pub(crate) const FIRST: &[u8; 4] = b"vitb";

/// Answers each request by `answer`, which is given its key and fields; without an answer it closes.
pub(crate) fn answering(
    answer: impl Fn(i16, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Script {
    let answer = Arc::new(answer);
    Arc::new(move |mut wire| {
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            loop {
                let length = wire.read_u32().await.ok()?;
                let mut request = vec![0; length.try_into().ok()?];
                wire.read_exact(&mut request).await.ok()?;
                let key = i16::from_be_bytes([request[0], request[1]]);
                let client = usize::from(u16::from_be_bytes([request[8], request[9]]));
                let fields = answer(key, &request[10 + client..])?;
                let length = u32::try_from(4 + fields.len()).ok()?.to_be_bytes();
                let answer = [&length, &request[4..8], &fields].concat();
                wire.write_all(&answer).await.ok()?;
                wire.flush().await.ok()?;
            }
        })
    })
}

/// A healthy broker that takes every login, but for the requests that `other` answers.
pub(crate) fn but(other: impl Fn(i16, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Script {
    answering(move |key, fields| other(key, fields).or_else(|| healthy(key)))
}

/// The same, but for one request, which it gives this answer; or none, and closes.
pub(crate) fn but_one(which: i16, fields: Option<Vec<u8>>) -> Script {
    answering(move |key, _| if key == which { fields.clone() } else { healthy(key) })
}

fn healthy(key: i16) -> Option<Vec<u8>> {
    match key {
        API_VERSIONS => {
            Some(known(0, &[API_VERSIONS, METADATA, SASL_HANDSHAKE, SASL_AUTHENTICATE]))
        }
        SASL_HANDSHAKE => Some(handshake(0)),
        SASL_AUTHENTICATE => Some(step(0, "", "")),
        METADATA => Some(metadata(1, 1, &[])),
        _ => None,
    }
}

/// Knows these requests in versions up to 4.
pub(crate) fn known(error: i16, keys: &[i16]) -> Vec<u8> {
    let mut fields = error.to_be_bytes().to_vec();
    fields.extend(u32::try_from(keys.len()).unwrap().to_be_bytes());
    for key in keys {
        fields.extend([key.to_be_bytes(), [0, 0], [0, 4]].concat());
    }
    fields
}

/// Offers logins by `PLAIN`.
pub(crate) fn handshake(error: i16) -> Vec<u8> {
    [&error.to_be_bytes()[..], &[0, 0, 0, 1], &string("PLAIN")].concat()
}

pub(crate) fn step(error: i16, message: &str, said: &str) -> Vec<u8> {
    let length = u32::try_from(said.len()).unwrap().to_be_bytes();
    [&error.to_be_bytes()[..], &string(message), &length, said.as_bytes()].concat()
}

/// A topic of one partition for each leader and number of replicas in sync, out of two.
pub(crate) type Topic<'a> = (&'a str, i16, &'a [(i32, u32)]);

/// A cluster of as many brokers.
pub(crate) fn metadata(brokers: u32, controller: i32, topics: &[Topic<'_>]) -> Vec<u8> {
    let mut fields = vec![0; 4];
    fields.extend(brokers.to_be_bytes());
    for broker in 0..brokers {
        fields.extend([&broker.to_be_bytes()[..], &string("b"), &[0, 0, 1, 1, 255, 255]].concat());
    }
    fields.extend(string("cluster"));
    fields.extend(controller.to_be_bytes());
    fields.extend(u32::try_from(topics.len()).unwrap().to_be_bytes());
    for (name, error, partitions) in topics {
        fields.extend([&error.to_be_bytes()[..], &string(name), &[0]].concat());
        fields.extend(u32::try_from(partitions.len()).unwrap().to_be_bytes());
        for (leader, in_sync) in *partitions {
            fields.extend([&[0; 6][..], &leader.to_be_bytes()].concat());
            fields.extend([&2_u32.to_be_bytes()[..], &[0; 8], &in_sync.to_be_bytes()].concat());
            fields.extend(vec![0; 4 * *in_sync as usize]);
        }
    }
    fields
}

fn string(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// Lets in who proves by SCRAM to know `password`, and proves to know it in turn.
pub(crate) fn scram(hash: Hash, password: &str) -> Script {
    let password = password.to_owned();
    let talk = Mutex::new(Vec::<String>::new());
    but(move |key, fields| {
        if key != SASL_AUTHENTICATE {
            return None;
        }
        let said = String::from_utf8(fields[4..].to_vec()).unwrap();
        let mut talk = talk.lock().unwrap();
        let Some([first, challenge]) = talk.first_chunk().cloned() else {
            let bare = said.strip_prefix("n,,").unwrap().to_owned();
            let nonce = bare.split_once("r=").unwrap().1;
            let challenge = format!("r={nonce}more,s={},i=4096", STANDARD.encode("salt"));
            talk.extend([bare, challenge.clone()]);
            return Some(step(0, "", &challenge));
        };
        talk.clear();
        let (bare, proof) = said.split_once(",p=").unwrap();
        let signed = format!("{first},{challenge},{bare}");
        Some(match hash.verify(&password, &signed, &STANDARD.decode(proof).unwrap()) {
            Some(signature) => step(0, "", &format!("v={}", STANDARD.encode(signature))),
            None => step(58, "Authentication failed during authentication", ""),
        })
    })
}

/// What SCRAM hashes with.
#[derive(Clone, Copy)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    /// The server's signature, where the client's proof is right (RFC 5802, section 3).
    fn verify(self, password: &str, signed: &str, proof: &[u8]) -> Option<Vec<u8>> {
        let (digest, hmac, pbkdf2) = match self {
            Self::Sha256 => (&digest::SHA256, hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
            Self::Sha512 => (&digest::SHA512, hmac::HMAC_SHA512, pbkdf2::PBKDF2_HMAC_SHA512),
        };
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac, key), text);
        let mut salted = vec![0; digest.output_len()];
        let iterations = 4096.try_into().unwrap();
        pbkdf2::derive(pbkdf2, iterations, b"salt", password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored = digest::digest(digest, client_key.as_ref());
        let signature = sign(stored.as_ref(), signed.as_bytes());
        let key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(p, s)| p ^ s).collect();
        let server_key = sign(&salted, b"Server Key");
        (key == client_key.as_ref())
            .then(|| sign(server_key.as_ref(), signed.as_bytes()).as_ref().to_vec())
    }
}
