//! Encodes and decodes the MQTT packets that this kind exchanges, in versions 3.1.1 and 5.

use crate::model::Reason;
use crate::net::MOST;
use crate::net::{ParseError, Parsed};

use super::options::Version;

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;

pub(super) const PINGREQ: &[u8] = &[0xc0, 0];
pub(super) const DISCONNECTING: &[u8] = &[0xe0, 0];

/// What a broker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    /// The answer to `CONNECT`: 0, or the code of a refusal.
    Connack(u8),
    /// The answer to a ping.
    Pingresp,
    /// It ends the connection, for the cause of this code.
    Disconnect(u8),
    /// A message.
    Publish,
}

/// The packet that `bytes` start with.
pub(super) fn packet(bytes: &[u8]) -> Parsed<Packet> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0f);
    let known = match kind {
        PUBLISH => true,
        CONNACK | PINGRESP | DISCONNECT => flags == 0,
        _ => false,
    };
    if !known {
        return Err(ParseError::Unexpected);
    }
    let Some((length, digits)) = length(rest)? else { return Ok(None) };
    if length > MOST {
        return Err(ParseError::TooLarge);
    }
    let Some(body) = rest.get(digits..digits + length) else { return Ok(None) };
    let packet = match (kind, body) {
        // Flags that say whether a session was kept, then the code, then properties.
        (CONNACK, [0 | 1, code, ..]) => Packet::Connack(*code),
        (PINGRESP, []) => Packet::Pingresp,
        (DISCONNECT, body) => Packet::Disconnect(body.first().copied().unwrap_or(0)),
        (PUBLISH, _) => Packet::Publish,
        _ => return Err(ParseError::Unexpected),
    };
    Ok(Some((packet, 1 + digits + length)))
}

/// As [`packet`], where nothing but an answer to `CONNECT` may come.
pub(super) fn connack(bytes: &[u8]) -> Parsed<u8> {
    if bytes.first().is_some_and(|first| *first != CONNACK << 4) {
        return Err(ParseError::Unexpected);
    }
    match packet(bytes)? {
        Some((Packet::Connack(code), length)) => Ok(Some((code, length))),
        Some(_) => Err(ParseError::Unexpected),
        None => Ok(None),
    }
}

/// A length in seven bits a byte, the lowest first, and how many bytes it takes.
fn length(bytes: &[u8]) -> Parsed<usize> {
    let mut length = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((length, place + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(ParseError::Unexpected) }
}

/// The packet `CONNECT` of the client `id`. Its session ends with the connection, or after one and
/// a half times `keep_alive` seconds without a packet.
///
/// Texts longer than 65,535 bytes are cut.
pub(super) fn connect(
    version: Version,
    id: &str,
    user: Option<&str>,
    password: Option<&str>,
    keep_alive: u16,
) -> Vec<u8> {
    const CLEAN: u8 = 0x02;
    let flags =
        CLEAN | if user.is_some() { 0x80 } else { 0 } | if password.is_some() { 0x40 } else { 0 };
    let mut body = Vec::new();
    put(&mut body, "MQTT");
    body.extend([version.level(), flags]);
    body.extend(keep_alive.to_be_bytes());
    if version == Version::Five {
        // No properties.
        body.push(0);
    }
    for text in [Some(id), user, password].into_iter().flatten() {
        put(&mut body, text);
    }
    let mut packet = vec![CONNECT << 4];
    let mut length = body.len();
    while length > 0x7f {
        packet.push(0x80 | low(length));
        length >>= 7;
    }
    packet.push(low(length));
    packet.append(&mut body);
    packet
}

/// The lowest seven bits.
fn low(length: usize) -> u8 {
    length.to_le_bytes()[0] & 0x7f
}

fn put(into: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    into.extend(length.to_be_bytes());
    into.extend(&text.as_bytes()[..usize::from(length)]);
}

/// What the code of a refusal of the client stands for, and its name in the standard.
///
/// Those below 0x80 are of version 3.1.1, whose brokers answer them to clients of version 5.
pub(super) fn refusal(code: u8) -> (Reason, &'static str) {
    match code {
        0x01 => (Reason::Protocol, "unsupported protocol version"),
        0x02 => (Reason::AuthFailed, "client identifier not valid"),
        0x03 => (Reason::NotServing, "server unavailable"),
        0x04 => (Reason::AuthFailed, "bad user name or password"),
        0x05 => (Reason::AuthFailed, "not authorized"),
        _ => disconnection(code),
    }
}

/// What the code stands for by which a broker ends the connection, and its name in the standard.
pub(super) fn disconnection(code: u8) -> (Reason, &'static str) {
    match code {
        0x00 => (Reason::NotServing, "normal disconnection"),
        0x80 => (Reason::Other, "unspecified error"),
        0x81 => (Reason::Protocol, "malformed packet"),
        0x82 => (Reason::Protocol, "protocol error"),
        0x83 => (Reason::Other, "implementation specific error"),
        0x84 => (Reason::Protocol, "unsupported protocol version"),
        0x85 => (Reason::AuthFailed, "client identifier not valid"),
        0x86 => (Reason::AuthFailed, "bad user name or password"),
        0x87 => (Reason::AuthFailed, "not authorized"),
        0x88 => (Reason::NotServing, "server unavailable"),
        0x89 => (Reason::Overloaded, "server busy"),
        0x8a => (Reason::AuthFailed, "banned"),
        0x8b => (Reason::NotServing, "server shutting down"),
        0x8c => (Reason::AuthFailed, "bad authentication method"),
        0x8d => (Reason::Other, "keep alive timeout"),
        0x8e => (Reason::Other, "session taken over"),
        0x93 => (Reason::Overloaded, "receive maximum exceeded"),
        0x95 => (Reason::Protocol, "packet too large"),
        0x96 => (Reason::Overloaded, "message rate too high"),
        0x97 => (Reason::Overloaded, "quota exceeded"),
        0x98 => (Reason::NotServing, "administrative action"),
        0x9c => (Reason::NotServing, "use another server"),
        0x9d => (Reason::NotServing, "server moved"),
        0x9f => (Reason::Overloaded, "connection rate exceeded"),
        0xa0 => (Reason::NotServing, "maximum connect time"),
        _ => (Reason::Other, "a cause of another name"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_known_by_their_first_byte() {
        assert_eq!(packet(&[0x20, 2, 0, 5, 0xd0]), Ok(Some((Packet::Connack(5), 4))));
        assert_eq!(packet(&[0x20, 3, 1, 0, 0]), Ok(Some((Packet::Connack(0), 5))));
        assert_eq!(packet(&[0xd0, 0]), Ok(Some((Packet::Pingresp, 2))));
        assert_eq!(packet(&[0xe0, 0]), Ok(Some((Packet::Disconnect(0), 2))));
        assert_eq!(packet(&[0xe0, 1, 0x8b]), Ok(Some((Packet::Disconnect(0x8b), 3))));
        assert_eq!(packet(&[0x3d, 1, 0]), Ok(Some((Packet::Publish, 3))));
        for wrong in [&[0][..], b"HTTP", &[0x20, 0], &[0x20, 2, 2, 0], &[0xd0, 1, 0], &[0x10]] {
            assert_eq!(packet(wrong), Err(ParseError::Unexpected), "{wrong:?}");
        }
        assert_eq!(packet(&[0x30, 0x80, 0x80, 0x80, 0x80]), Err(ParseError::Unexpected));
        assert_eq!(packet(&[0x30, 0xff, 0xff, 0x7f]), Err(ParseError::TooLarge));
        assert_eq!(connack(&[0x32]), Err(ParseError::Unexpected));
        assert_eq!(connack(&[0x20, 2, 0, 0]), Ok(Some((0, 4))));
    }

    #[test]
    fn a_client_asks_with_all_that_it_has() {
        let short = connect(Version::Three, "id", None, None, 60);
        assert_eq!(short, b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id");
        let long = connect(Version::Five, "id", Some("u"), Some("p"), 60);
        assert_eq!(long, b"\x10\x15\0\x04MQTT\x05\xc2\0\x3c\0\0\x02id\0\x01u\0\x01p");
        let text = "x".repeat(200);
        let longer = connect(Version::Three, &text, None, None, 60);
        assert_eq!(longer[..3], [0x10, 0xd4, 0x01]);
        assert_eq!(longer.len(), 3 + 0xd4);
    }

    #[test]
    fn a_code_stands_for_what_the_packet_that_holds_it_says() {
        // Version 5 has 0x04 for the disconnection of a client with a will.
        assert_eq!(refusal(0x04).0, Reason::AuthFailed);
        assert_eq!(disconnection(0x04).0, Reason::Other);
        for code in 0x80..=0xa2 {
            assert_eq!(refusal(code), disconnection(code), "{code:#x}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_part_of_a_packet_is_none(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x20), Just(0xd0)], 0..20),
        ) {
            let _ = connack(&bytes);
            if let Ok(Some((_, length))) = packet(&bytes) {
                prop_assert!(length <= bytes.len());
                for part in 0..length {
                    prop_assert_eq!(packet(&bytes[..part]), Ok(None));
                }
            }
        }
    }
}
