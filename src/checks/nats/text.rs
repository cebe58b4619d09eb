//! Reads the lines that a NATS server sends.

use serde::Deserialize;

use crate::model::Reason;
use crate::net::{ParseError, Parsed};

const END: &[u8] = b"\r\n";

/// The longest word that a server's line starts with, `HMSG` or `-ERR`, and what follows it.
const LONGEST_WORD: usize = 5;

/// What a server sends in one line.
#[derive(Debug)]
pub(super) enum Op {
    /// Its properties and requirements (`INFO`).
    Info(Box<Info>),
    /// The answer to `PING`.
    Pong,
    /// An error (`-ERR`), without the quotes around it.
    Err(String),
    /// `+OK` and `PING`, which need no answer within the time of a run.
    Other,
}

/// The fields of `INFO` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// It requires TLS.
    pub(super) tls_required: bool,
    /// It also accepts TLS.
    pub(super) tls_available: bool,
    /// It is in lame duck mode.
    pub(super) ldm: bool,
    /// The nonce that a client with a key must sign.
    pub(super) nonce: Option<String>,
    /// The gateway that a port for gateways belongs to.
    gateway: Option<String>,
    /// Whether it takes leaf nodes that echo nothing; routes alone say so.
    lnoc: Option<bool>,
    /// Where leaf nodes connect; routes and ports for leaf nodes say so.
    leafnode_urls: Option<Vec<String>>,
}

impl Info {
    /// What the port is for, if it is not for clients. Clients get none of these fields.
    pub(super) fn other_port(&self) -> Option<&'static str> {
        if self.gateway.is_some() {
            Some("gateways")
        } else if self.lnoc.is_some() {
            Some("routes of its cluster")
        } else if self.leafnode_urls.is_some() {
            Some("leaf nodes")
        } else {
            None
        }
    }
}

/// The operation that `bytes` start with.
pub(super) fn operation(bytes: &[u8]) -> Parsed<Op> {
    let Some(end) = bytes.windows(END.len()).position(|pair| pair == END) else {
        // The first word of a line without end says whether this is another protocol.
        let word = bytes.get(..LONGEST_WORD).unwrap_or(bytes);
        return if begins_one(word) { Ok(None) } else { Err(ParseError::Unexpected) };
    };
    let line = str::from_utf8(&bytes[..end]).map_err(|_| ParseError::Unexpected)?;
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let operation = match word.to_ascii_uppercase().as_str() {
        "INFO" => Op::Info(serde_json::from_str(rest).map_err(|_| ParseError::Unexpected)?),
        "PONG" => Op::Pong,
        "-ERR" => Op::Err(rest.trim().trim_matches('\'').to_owned()),
        "+OK" | "PING" => Op::Other,
        _ => return Err(ParseError::Unexpected),
    };
    Ok(Some((operation, end + END.len())))
}

/// Whether `start` may be the start of a line.
fn begins_one(start: &[u8]) -> bool {
    let start = start.to_ascii_uppercase();
    let words = ["INFO ", "INFO\t", "PONG\r", "-ERR ", "-ERR\t", "+OK\r", "PING\r"];
    words.iter().any(|word| {
        let length = start.len().min(word.len());
        start[..length] == word.as_bytes()[..length]
    })
}

/// Maps a text after `-ERR` to a reason.
pub(super) fn reason(text: &str) -> Reason {
    let text = text.to_ascii_lowercase();
    let says = |part: &str| text.contains(part);
    if says("authorization") || says("authentication") || says("credentials") {
        Reason::AuthFailed
    } else if says("maximum") && says("connections") {
        Reason::Overloaded
    } else if says("tls required") {
        Reason::TlsFailed
    } else if says("shutdown") {
        Reason::NotServing
    } else if says("attempted to connect to") {
        // A leaf node's, a route's, a gateway's or the wrong port.
        Reason::Protocol
    } else if says("parser error") || says("unknown protocol") || says("invalid client protocol") {
        Reason::Protocol
    } else {
        Reason::Other
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn operations_are_told_by_their_first_word() {
        let of = |text: &str| operation(text.as_bytes());
        assert!(matches!(of("PONG\r\nINFO"), Ok(Some((Op::Pong, 6)))));
        assert!(matches!(of("+OK\r\n"), Ok(Some((Op::Other, 5)))));
        assert!(matches!(of("ping\r\n"), Ok(Some((Op::Other, 6)))));
        let Ok(Some((Op::Err(text), 12))) = of("-ERR 'No.'\r\n") else { panic!("an error") };
        assert_eq!(text, "No.");
        let info = r#"INFO {"tls_required":true,"ldm":true,"nonce":"x","max_payload":1}"#;
        let Ok(Some((Op::Info(info), _))) = of(&format!("{info} \r\n")) else { panic!("INFO") };
        assert!(info.tls_required && info.ldm && info.nonce.is_some() && !info.tls_available);
        for wrong in
            ["HTTP/1.1 400 Bad Request\r\n", "INFO {\r\n", "INFO\r\n", "\r\n", "H", "PONGO"]
        {
            assert_eq!(of(wrong).err(), Some(ParseError::Unexpected), "{wrong}");
        }
    }

    #[test]
    fn an_error_stands_for_a_reason() {
        for (text, wanted) in [
            ("Authorization Violation", Reason::AuthFailed),
            ("User Authentication Expired", Reason::AuthFailed),
            ("Authentication Timeout", Reason::AuthFailed),
            ("maximum connections exceeded", Reason::Overloaded),
            ("maximum account active connections exceeded", Reason::Overloaded),
            ("Secure Connection - TLS Required", Reason::TlsFailed),
            ("Server Shutdown", Reason::NotServing),
            ("Unknown Protocol Operation", Reason::Protocol),
            ("attempted to connect to leaf node port", Reason::Protocol),
            ("attempted to connect to route port", Reason::Protocol),
            ("Stale Connection", Reason::Other),
        ] {
            assert_eq!(reason(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_part_of_a_line_is_none(
            bytes in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'P'), Just(b'-'),
            ], 0..40),
            valid in "(PONG|PING|\\+OK|-ERR '[a-z ]{0,20}')\r\n",
        ) {
            let _ = operation(&bytes);
            for part in 0..valid.len() {
                prop_assert!(matches!(operation(&valid.as_bytes()[..part]), Ok(None)));
            }
            prop_assert!(matches!(operation(valid.as_bytes()), Ok(Some(_))));
        }
    }
}
