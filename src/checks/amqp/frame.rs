//! The frames of AMQP 0-9-1 that this kind receives: methods of the classes `connection`, `channel`,
//! `queue` and `basic`.

use crate::net::{ParseError, Parsed};

use super::request::{END, METHOD, PROTOCOL_HEADER};

/// Octets before the content of a frame: type, channel and size.
const HEAD: usize = 7;

const HEARTBEAT: u8 = 8;

/// What a server sends in one frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Its version, the login mechanisms, and whether it is RabbitMQ.
    Start { version: (u8, u8), mechanisms: String, is_rabbitmq: bool },
    /// Its limits, which a client may accept unchanged.
    Tune { channels: u16, frame: u32 },
    /// The virtual host is open.
    Opened,
    /// It accepts no messages; the text says why.
    Blocked(String),
    /// It accepts messages again.
    Unblocked,
    /// It ends the connection.
    Closed(Close),
    /// It agrees to end the connection.
    CloseOk,
    /// The channel is open.
    ChannelOpened,
    /// It ends the channel.
    ChannelClosed(Close),
    /// There is such a queue.
    Declared(QueueCounts),
    /// The queue holds no message that waits.
    GetEmpty,
    /// A message of the queue, and how many more wait.
    GetOk { delivery_tag: u64, messages: u32 },
    /// It speaks another version of the protocol.
    Version(String),
    /// A heartbeat.
    Heartbeat,
    /// A method that is not an answer to any request of this kind.
    Other,
}

/// Why a server ends a connection or a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) text: String,
}

/// What a server reports of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueCounts {
    pub(super) messages: u32,
    pub(super) consumers: u32,
}

/// The content of the frame at the start of `bytes`; it must not be longer than `most`.
pub(super) fn parse(bytes: &[u8], most: usize) -> Parsed<Frame> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if ![METHOD, HEARTBEAT].contains(kind) {
        return version(bytes);
    }
    let Some(head) = bytes.get(..HEAD) else { return Ok(None) };
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > most {
        return Err(ParseError::TooLarge);
    }
    let Some(payload) = bytes.get(HEAD..HEAD + size) else { return Ok(None) };
    match bytes.get(HEAD + size) {
        None => return Ok(None),
        Some(&END) => {}
        Some(_) => return Err(ParseError::Unexpected),
    }
    let said = if *kind == METHOD {
        method(&mut Fields(payload)).ok_or(ParseError::Unexpected)?
    } else {
        Frame::Heartbeat
    };
    Ok(Some((said, HEAD + size + 1)))
}

/// The protocol header that a server answers with when it does not speak this version.
fn version(bytes: &[u8]) -> Parsed<Frame> {
    let name = &PROTOCOL_HEADER[..4];
    let start = bytes.len().min(name.len());
    if bytes[..start] != name[..start] {
        return Err(ParseError::Unexpected);
    }
    let Some(header) = bytes.get(name.len()..PROTOCOL_HEADER.len()) else { return Ok(None) };
    // Before 0-9-1 the version follows a class and an instance, both 1.
    let version = match *header {
        [1, 1, major, minor] => format!("{major}-{minor}"),
        [_, 0, minor, revision] => format!("0-{minor}-{revision}"),
        [_, major, minor, _] => format!("{major}.{minor}"),
        _ => return Err(ParseError::Unexpected),
    };
    Ok(Some((Frame::Version(version), PROTOCOL_HEADER.len())))
}

fn method(fields: &mut Fields<'_>) -> Option<Frame> {
    let said = match (fields.short()?, fields.short()?) {
        (10, 10) => {
            let version = (fields.octet()?, fields.octet()?);
            let is_rabbitmq = is_rabbitmq(fields.long_string()?);
            let mechanisms = fields.long_string().map(text)?;
            Frame::Start { version, mechanisms, is_rabbitmq }
        }
        (10, 30) => Frame::Tune { channels: fields.short()?, frame: fields.long()? },
        (10, 41) => Frame::Opened,
        (10, 50) => Frame::Closed(fields.refusal()?),
        (10, 51) => Frame::CloseOk,
        (10, 60) => Frame::Blocked(fields.short_string().map(text)?),
        (10, 61) => Frame::Unblocked,
        (20, 11) => Frame::ChannelOpened,
        (20, 40) => Frame::ChannelClosed(fields.refusal()?),
        (50, 11) => {
            let _name = fields.short_string()?;
            Frame::Declared(QueueCounts { messages: fields.long()?, consumers: fields.long()? })
        }
        (60, 71) => {
            let delivery_tag = fields.long_long()?;
            let (_redelivered, _exchange) = (fields.octet()?, fields.short_string()?);
            let _routing_key = fields.short_string()?;
            Frame::GetOk { delivery_tag, messages: fields.long()? }
        }
        (60, 72) => Frame::GetEmpty,
        _ => Frame::Other,
    };
    Some(said)
}

/// Whether the properties of a server name RabbitMQ as the product.
fn is_rabbitmq(properties: &[u8]) -> bool {
    const FIELD: &[u8] = b"\x07productS\0\0\0\x08RabbitMQ";
    properties.windows(FIELD.len()).any(|part| part == FIELD)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The fields of a method that were not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long_long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.octet()?;
        self.take(length.into())
    }

    fn long_string(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn refusal(&mut self) -> Option<Close> {
        Some(Close { code: self.short()?, text: self.short_string().map(text)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::request::frame;
    use super::*;

    const MOST: usize = 1024;

    fn of(bytes: &[u8]) -> Parsed<Frame> {
        parse(bytes, MOST)
    }

    #[test]
    fn a_method_is_told_by_its_class_and_number() {
        let start = [&[0, 9][..], &[0, 0, 0, 2, 0, 0], b"\0\0\0\x05PLAIN", b"\0\0\0\x05en_US"];
        let start = frame(0, (10, 10), &start.concat());
        let mechanisms = "PLAIN".to_owned();
        let wanted = Frame::Start { version: (0, 9), mechanisms, is_rabbitmq: false };
        assert_eq!(of(&start), Ok(Some((wanted, start.len()))));
        let closed = frame(0, (10, 50), b"\x01\x93\x02No\0\0\0\0");
        let refusal = Close { code: 403, text: "No".to_owned() };
        assert_eq!(of(&closed), Ok(Some((Frame::Closed(refusal), closed.len()))));
        let declared = frame(1, (50, 11), b"\x01q\0\0\0\x07\0\0\0\x02");
        let queue = QueueCounts { messages: 7, consumers: 2 };
        assert_eq!(of(&declared), Ok(Some((Frame::Declared(queue), declared.len()))));
        let got = frame(1, (60, 71), b"\0\0\0\0\0\0\0\x09\x01\0\x01q\0\0\0\x07");
        let message = Frame::GetOk { delivery_tag: 9, messages: 7 };
        assert_eq!(of(&got), Ok(Some((message, got.len()))));
        let empty = frame(1, (60, 72), b"\0");
        assert_eq!(of(&empty), Ok(Some((Frame::GetEmpty, empty.len()))));
        assert_eq!(of(&[8, 0, 0, 0, 0, 0, 0, END]), Ok(Some((Frame::Heartbeat, 8))));
        assert_eq!(of(&frame(0, (10, 20), b"\0\0\0\0")), Ok(Some((Frame::Other, 16))));
    }

    #[test]
    fn rabbitmq_is_known_by_its_product() {
        assert!(is_rabbitmq(b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x013"));
        assert!(!is_rabbitmq(b"\x07productS\0\0\0\x08LavinMQ!") && !is_rabbitmq(b""));
    }

    #[test]
    fn a_version_is_told_from_another_protocol() {
        for (header, version) in [
            (b"AMQP\x00\x01\x00\x00", "1.0"),
            (b"AMQP\x03\x01\x00\x00", "1.0"),
            (b"AMQP\x01\x01\x00\x0a", "0-10"),
            (b"AMQP\x00\x00\x09\x01", "0-9-1"),
        ] {
            assert_eq!(of(header), Ok(Some((Frame::Version(version.to_owned()), 8))));
            assert_eq!(of(&header[..7]), Ok(None));
        }
        for wrong in [&b"HTTP/1.1 400"[..], b"\x15\x03\x01", b"AMQX", b"\0", b"\x02"] {
            assert_eq!(of(wrong), Err(ParseError::Unexpected), "{wrong:?}");
        }
    }

    #[test]
    fn a_frame_is_bounded_and_ends_with_its_mark() {
        assert_eq!(of(&[1, 0, 0, 0, 0, 4, 1]), Err(ParseError::TooLarge));
        assert_eq!(of(&[1, 0, 0, 255, 255, 255, 255]), Err(ParseError::TooLarge));
        assert_eq!(of(&[8, 0, 0, 0, 0, 0, 0, 0]), Err(ParseError::Unexpected));
        let cut = frame(0, (10, 50), b"\x01\x93\xffNo");
        assert_eq!(of(&cut), Err(ParseError::Unexpected));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_part_of_a_frame_is_none(
            class in prop_oneof![Just(10_u16), Just(20), Just(50), any::<u16>()],
            number in 0_u16..70,
            fields in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let whole = frame(0, (class, number), &fields);
            for part in 0..whole.len() {
                prop_assert_eq!(of(&whole[..part]), Ok(None));
            }
            let read = of(&whole);
            prop_assert!(read == Err(ParseError::Unexpected)
                || read.is_ok_and(|read| read.is_some_and(|(_, length)| length == whole.len())));
            let _ = of(&fields);
        }
    }
}
