//! The messages of the protocol: OP_MSG, as MongoDB has them since 3.6.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::bson::{Document, Writer};

/// Longest message that is read; the longest that is due, about a set of 50 members, has a tenth.
const LONGEST: usize = 64 * 1024;

/// Length, number, number of the request that it answers, and code: four integers.
const HEADER: usize = 16;

/// The code of OP_MSG.
const OP_MSG: i32 = 2013;

/// A checksum follows the last section.
const CHECKSUM: u32 = 1;

/// Length of the flags, the kind of the one section, and an empty document.
const SHORTEST_BODY: usize = 4 + 1 + 5;

/// Why no reply could be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The connection failed.
    Io(io::Error),
    /// It ended before the reply did.
    Ended,
    /// The reply is longer than what is read.
    TooLarge,
    /// It is in another protocol.
    Malformed,
}

/// The request with this `number` for the command in `body`.
pub(super) fn request(number: i32, body: Writer) -> Vec<u8> {
    let body = body.finish();
    let length = i32::try_from(HEADER + 4 + 1 + body.len()).unwrap_or(i32::MAX);
    let mut message = Vec::with_capacity(HEADER + 4 + 1 + body.len());
    for field in [length, number, 0, OP_MSG, 0] {
        message.extend_from_slice(&field.to_le_bytes());
    }
    // The kind of a section that is the command itself.
    message.push(0);
    message.extend_from_slice(&body);
    message
}

/// Reads the reply to the request with this `number`.
pub(super) async fn reply(
    from: &mut (impl AsyncRead + Unpin),
    number: i32,
) -> Result<Document, Unread> {
    let mut received = Vec::new();
    fill(from, &mut received, HEADER).await?;
    let length = length(&received, number)?;
    fill(from, &mut received, length).await?;
    body(received)
}

/// Reads until as many bytes have been `received`.
async fn fill(
    from: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
    wanted: usize,
) -> Result<(), Unread> {
    while received.len() < wanted {
        let missing = wanted - received.len();
        match from.take(missing as u64).read_buf(received).await {
            Ok(0) => return Err(Unread::Ended),
            Ok(_) => {}
            Err(error) => return Err(Unread::Io(error)),
        }
    }
    Ok(())
}

/// The length of the message that starts with `header`.
fn length(header: &[u8], number: i32) -> Result<usize, Unread> {
    let [length, _, answered, code] = [0, 1, 2, 3].map(|index| integer(header, 4 * index));
    // Judged first, for what speaks another protocol has no length here.
    if code != Some(OP_MSG) || answered != Some(number) {
        return Err(Unread::Malformed);
    }
    let length = length.and_then(|length| usize::try_from(length).ok());
    match length.filter(|length| *length >= HEADER + SHORTEST_BODY) {
        None => Err(Unread::Malformed),
        Some(length) if length > LONGEST => Err(Unread::TooLarge),
        Some(length) => Ok(length),
    }
}

/// The document that a whole message carries.
fn body(mut message: Vec<u8>) -> Result<Document, Unread> {
    let flags = integer(&message, HEADER).map(i32::cast_unsigned).ok_or(Unread::Malformed)?;
    // That more is to come was not asked for, and what other flags mean is not known.
    if flags & !CHECKSUM != 0 || message.get(HEADER + 4) != Some(&0) {
        return Err(Unread::Malformed);
    }
    if flags & CHECKSUM != 0 {
        message.truncate(message.len() - 4);
    }
    Document::parse(message.split_off(HEADER + 5)).map_err(|_| Unread::Malformed)
}

fn integer(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message with this header and these flags, whose section holds `{"ok": 1.0}`.
    fn message(length: i32, answered: i32, code: i32, flags: i32) -> Vec<u8> {
        let header = [length, 99, answered, code, flags].map(i32::to_le_bytes).concat();
        [&header[..], b"\0\x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0"].concat()
    }

    async fn read(bytes: &[u8]) -> Result<Document, Unread> {
        reply(&mut &bytes[..], 7).await
    }

    #[tokio::test]
    async fn a_reply_is_read_with_or_without_a_checksum() {
        let plain = message(38, 7, OP_MSG, 0);
        assert_eq!(read(&plain).await.expect("a reply").number("ok"), Some(1.0));
        // What follows belongs to another one.
        let checked = [&message(42, 7, OP_MSG, 1)[..], b"\x01\x02\x03\x04next"].concat();
        assert_eq!(read(&checked).await.expect("a reply").number("ok"), Some(1.0));
    }

    #[tokio::test]
    async fn what_is_no_reply_to_the_request_is_told() {
        for (length, answered, code, flags) in [
            (38, 7, 1, 0),
            (38, 8, OP_MSG, 0),
            (38, 7, OP_MSG, 2),
            (38, 7, OP_MSG, 4),
            (25, 7, OP_MSG, 0),
            (-1, 7, OP_MSG, 0),
            (37, 7, OP_MSG, 0),
            (38, 7, OP_MSG, 1),
        ] {
            let bytes = message(length, answered, code, flags);
            let error = read(&bytes).await.expect_err("no reply");
            assert!(matches!(error, Unread::Malformed), "{length} {answered} {code} {flags}");
        }
        let mut sequence = message(38, 7, OP_MSG, 0);
        sequence[20] = 1;
        assert!(matches!(read(&sequence).await, Err(Unread::Malformed)));
    }

    #[tokio::test]
    async fn a_reply_that_is_too_long_is_not_awaited() {
        let bytes = message(i32::MAX, 7, OP_MSG, 0);
        assert!(matches!(read(&bytes).await, Err(Unread::TooLarge)));
        assert!(matches!(read(&message(60, 7, OP_MSG, 0)).await, Err(Unread::Ended)));
        assert!(matches!(read(&bytes[..10]).await, Err(Unread::Ended)));
    }

    #[test]
    fn a_request_is_written_as_the_protocol_has_it() {
        let written = request(3, Writer::command("ping").text("$db", "admin"));
        // Field by field: length, number, none answered, 2013, no flags; kind 0; the document.
        let expected = b"\x33\0\0\0\x03\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
            \x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
        assert_eq!(written, expected);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = length(&bytes, 7);
            let _ = body([&message(0, 7, OP_MSG, 0)[..HEADER], &bytes].concat());
        }
    }
}
