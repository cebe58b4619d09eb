//! The messages of the protocol: OP_MSG, as MongoDB has them since 3.6.

use crate::net::{MOST, ParseError, Parsed};

use super::bson::{Document, Writer};

/// Length, number, number of the request that it answers, and code: four integers.
const HEADER: usize = 16;

/// The code of OP_MSG.
const OP_MSG: i32 = 2013;

/// A checksum follows the last section.
const CHECKSUM: u32 = 1;

/// Length of the flags, the kind of the one section, and an empty document.
const SHORTEST_BODY: usize = 4 + 1 + 5;

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

/// The reply to the request with this `number`, once `bytes` hold all of it, and its length.
pub(super) fn parse(bytes: &[u8], number: i32) -> Parsed<Document> {
    let Some(header) = bytes.get(..HEADER) else { return Ok(None) };
    let length = length(header, number)?;
    let Some(message) = bytes.get(..length) else { return Ok(None) };
    Ok(Some((body(message)?, length)))
}

/// The length of the message that starts with `header`.
fn length(header: &[u8], number: i32) -> Result<usize, ParseError> {
    let [length, _, answered, code] = [0, 1, 2, 3].map(|index| integer(header, 4 * index));
    // Checked first, because another protocol has no length at this position.
    if code != Some(OP_MSG) || answered != Some(number) {
        return Err(ParseError::Unexpected);
    }
    let length = length.and_then(|length| usize::try_from(length).ok());
    match length.filter(|length| *length >= HEADER + SHORTEST_BODY) {
        None => Err(ParseError::Unexpected),
        Some(length) if length > MOST => Err(ParseError::TooLarge),
        Some(length) => Ok(length),
    }
}

/// The document that a whole message carries.
fn body(message: &[u8]) -> Result<Document, ParseError> {
    let flags = integer(message, HEADER).map(i32::cast_unsigned).ok_or(ParseError::Unexpected)?;
    // More than one reply was not requested, and the other flags are unknown.
    if flags & !CHECKSUM != 0 || message.get(HEADER + 4) != Some(&0) {
        return Err(ParseError::Unexpected);
    }
    let checksum = if flags & CHECKSUM == 0 { 0 } else { 4 };
    let document = message.get(HEADER + 5..message.len().saturating_sub(checksum));
    let document = document.ok_or(ParseError::Unexpected)?;
    Document::parse(document.to_vec()).map_err(|_| ParseError::Unexpected)
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

    fn read(bytes: &[u8]) -> Parsed<Document> {
        parse(bytes, 7)
    }

    fn ok(bytes: &[u8]) -> (Option<f64>, usize) {
        let (document, length) = read(bytes).expect("a reply").expect("all of it");
        (document.number("ok"), length)
    }

    #[test]
    fn a_reply_is_read_with_or_without_a_checksum() {
        let plain = message(38, 7, OP_MSG, 0);
        assert_eq!(ok(&plain), (Some(1.0), 38));
        // What follows belongs to another one.
        let checked = [&message(42, 7, OP_MSG, 1)[..], b"\x01\x02\x03\x04next"].concat();
        assert_eq!(ok(&checked), (Some(1.0), 42));
    }

    #[test]
    fn a_reply_to_another_request_is_refused() {
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
            let error = read(&message(length, answered, code, flags)).expect_err("no reply");
            assert_eq!(error, ParseError::Unexpected, "{length} {answered} {code} {flags}");
        }
        let mut sequence = message(38, 7, OP_MSG, 0);
        sequence[20] = 1;
        assert_eq!(read(&sequence).unwrap_err(), ParseError::Unexpected);
    }

    #[test]
    fn a_reply_that_is_too_long_is_not_awaited() {
        let bytes = message(i32::MAX, 7, OP_MSG, 0);
        assert_eq!(read(&bytes).unwrap_err(), ParseError::TooLarge);
        assert!(matches!(read(&message(60, 7, OP_MSG, 0)), Ok(None)));
        assert!(matches!(read(&bytes[..10]), Ok(None)));
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
            let _ = body(&[&message(0, 7, OP_MSG, 0)[..HEADER], &bytes].concat());
            let _ = parse(&[&message(60, 7, OP_MSG, 0)[..HEADER], &bytes].concat(), 7);
        }
    }
}
