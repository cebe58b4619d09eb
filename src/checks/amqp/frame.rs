//! The frames of AMQP 0-9-1, as far as this kind sends and hears them: methods of the classes
//! `connection`, `channel` and `queue`.

use crate::net::{ParseError, Parsed};

/// What a client says first (section 4.2.2 of the specification).
pub(super) const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Octets before and after what a frame holds: type, channel and size, and the mark of its end.
const HEAD: usize = 7;
const END: u8 = 0xCE;

const METHOD: u8 = 1;
const HEARTBEAT: u8 = 8;

/// The one channel that is opened.
const CHANNEL: u16 = 1;

/// What a server says in one frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// What it speaks, and how clients may log in.
    Start { version: (u8, u8), mechanisms: String },
    /// Its limits, which a client may take as they are.
    Tune { channels: u16, frame: u32 },
    /// The virtual host is open.
    Opened,
    /// It takes no messages, and why.
    Blocked(String),
    /// It takes messages again.
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
    Declared(Queue),
    /// It speaks another protocol of the family, here by its version.
    Version(String),
    /// A heartbeat.
    Heartbeat,
    /// A method that answers nothing that is asked here.
    Other,
}

/// Why a server ends a connection or a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) text: String,
}

/// What a server tells of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) messages: u32,
    pub(super) consumers: u32,
}

/// What the frame says that `bytes` start with; it must be no longer than `most`.
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
    let name = &HEADER[..4];
    let start = bytes.len().min(name.len());
    if bytes[..start] != name[..start] {
        return Err(ParseError::Unexpected);
    }
    let Some(header) = bytes.get(name.len()..HEADER.len()) else { return Ok(None) };
    // Versions before 0-9-1 stand behind a class and an instance, both 1.
    let version = match *header {
        [1, 1, major, minor] => format!("{major}-{minor}"),
        [_, 0, minor, revision] => format!("0-{minor}-{revision}"),
        [_, major, minor, _] => format!("{major}.{minor}"),
        _ => return Err(ParseError::Unexpected),
    };
    Ok(Some((Frame::Version(version), HEADER.len())))
}

fn method(fields: &mut Fields<'_>) -> Option<Frame> {
    let said = match (fields.short()?, fields.short()?) {
        (10, 10) => {
            let version = (fields.octet()?, fields.octet()?);
            let _properties = fields.long_string()?;
            Frame::Start { version, mechanisms: fields.long_string().map(text)? }
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
            Frame::Declared(Queue { messages: fields.long()?, consumers: fields.long()? })
        }
        _ => Frame::Other,
    };
    Some(said)
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

/// Who logs in, and by which mechanism: the answer to `Start`.
pub(super) fn start_ok(mechanism: &str, response: &str) -> Vec<u8> {
    let mut capabilities = Vec::new();
    // A server then says that it refuses a login, instead of closing without a word.
    for name in ["authentication_failure_close", "connection.blocked"] {
        push_short_string(&mut capabilities, name);
        capabilities.extend([b't', 1]);
    }
    let mut properties = Vec::new();
    for (name, value) in [
        ("product", env!("CARGO_PKG_NAME")),
        ("version", env!("CARGO_PKG_VERSION")),
        ("connection_name", env!("CARGO_PKG_NAME")),
    ] {
        push_short_string(&mut properties, name);
        properties.push(b'S');
        push_long_string(&mut properties, value.as_bytes());
    }
    push_short_string(&mut properties, "capabilities");
    properties.push(b'F');
    push_long_string(&mut properties, &capabilities);

    let mut fields = Vec::new();
    push_long_string(&mut fields, &properties);
    push_short_string(&mut fields, mechanism);
    push_long_string(&mut fields, response.as_bytes());
    push_short_string(&mut fields, "en_US");
    frame(0, (10, 11), &fields)
}

/// Takes a server's limits as they are, without heartbeats, and opens a virtual host.
pub(super) fn tune_ok_and_open(channels: u16, frame_max: u32, host: &str) -> Vec<u8> {
    let heartbeat = 0_u16.to_be_bytes();
    let limits = [&channels.to_be_bytes()[..], &frame_max.to_be_bytes(), &heartbeat].concat();
    let mut fields = Vec::new();
    push_short_string(&mut fields, host);
    fields.extend([0, 0]);
    [frame(0, (10, 31), &limits), frame(0, (10, 40), &fields)].concat()
}

/// Opens a channel and asks whether there is a queue of this name; declares none.
pub(super) fn open_channel_and_declare(queue: &str) -> Vec<u8> {
    const PASSIVE: u8 = 1;
    let mut fields = vec![0, 0];
    push_short_string(&mut fields, queue);
    fields.push(PASSIVE);
    push_long_string(&mut fields, &[]);
    [frame(CHANNEL, (20, 10), &[0]), frame(CHANNEL, (50, 10), &fields)].concat()
}

/// Agrees that the channel ends.
pub(super) fn channel_close_ok() -> Vec<u8> {
    frame(CHANNEL, (20, 41), &[])
}

/// Ends the connection.
pub(super) fn close() -> Vec<u8> {
    const REPLY_SUCCESS: [u8; 2] = 200_u16.to_be_bytes();
    frame(0, (10, 50), &[&REPLY_SUCCESS[..], &[0; 5]].concat())
}

/// Agrees that the connection ends.
pub(super) fn close_ok() -> Vec<u8> {
    frame(0, (10, 51), &[])
}

fn frame(channel: u16, (class, method): (u16, u16), fields: &[u8]) -> Vec<u8> {
    let mut frame = vec![METHOD];
    frame.extend(channel.to_be_bytes());
    let method = [class.to_be_bytes(), method.to_be_bytes()].concat();
    push_long_string(&mut frame, &[&method, fields].concat());
    frame.push(END);
    frame
}

/// Pushes `text` and its length before it; what is longer than such a text can be is cut.
fn push_short_string(to: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    to.push(length);
    to.extend(&text.as_bytes()[..length.into()]);
}

/// Likewise; options are bounded far below.
fn push_long_string(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend(length.to_be_bytes());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        let wanted = Frame::Start { version: (0, 9), mechanisms };
        assert_eq!(of(&start), Ok(Some((wanted, start.len()))));
        let closed = frame(0, (10, 50), b"\x01\x93\x02No\0\0\0\0");
        let refusal = Close { code: 403, text: "No".to_owned() };
        assert_eq!(of(&closed), Ok(Some((Frame::Closed(refusal), closed.len()))));
        let declared = frame(1, (50, 11), b"\x01q\0\0\0\x07\0\0\0\x02");
        let queue = Queue { messages: 7, consumers: 2 };
        assert_eq!(of(&declared), Ok(Some((Frame::Declared(queue), declared.len()))));
        assert_eq!(of(&[8, 0, 0, 0, 0, 0, 0, END]), Ok(Some((Frame::Heartbeat, 8))));
        assert_eq!(of(&frame(0, (10, 20), b"\0\0\0\0")), Ok(Some((Frame::Other, 16))));
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
