//! Reads the body of an answer up to a limit, and decodes it if its bytes are needed.
//!
//! If no expectation needs the body, only its length and completeness are checked, whatever its
//! encoding is.

use std::borrow::Cow;
use std::io::{self, Write};

use flate2::write::GzDecoder;
use hyper::header;
use hyper::http::response;

use crate::engine::check::Failure;
use crate::model::Reason;

use super::Endpoint;
use super::http1::{self, Connection};

/// What gzip may add to a body that it cannot shorten, and then some.
const GZIP_OVERHEAD: u64 = 64 * 1024;

/// The first byte of what gzip has encoded.
const GZIP_MAGIC: u8 = 0x1f;

/// Encodings that are registered with IANA, or in use, and that are not read here.
const OTHERS: [&[u8]; 10] = [
    b"br",
    b"compress",
    b"x-compress",
    b"dcb",
    b"dcz",
    b"deflate",
    b"exi",
    b"zstd",
    b"aes128gcm",
    b"pack200-gzip",
];

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than the bound, in bytes.
    TooLarge(u64),
    /// It is not what its `Content-Encoding` says.
    NotGzip,
    /// It has an encoding that was not requested.
    Encoded,
    /// The exchange broke off.
    Broken(http1::Error),
}

impl BodyError {
    /// The failure for this error; `bound` names the limit, as in ` of max_body`.
    pub(crate) fn failure(&self, endpoint: &Endpoint, bound: &str) -> Failure {
        let (reason, what) = match self {
            Self::Broken(error) => return error.failure(endpoint),
            Self::TooLarge(max) => {
                (Reason::TooLarge, format!("has more than the {max} bytes{bound}"))
            }
            Self::NotGzip => (Reason::Protocol, "is said to be gzip and is not".to_owned()),
            Self::Encoded => {
                (Reason::UnexpectedBody, "is encoded, and not by gzip or not at all".to_owned())
            }
        };
        Failure::new(reason, format!("the body from {endpoint} {what}")).answered()
    }
}

/// Reads the body of the answer `head` to its end; its bytes are kept when they are `wanted`.
///
/// Reading stops after `max` decoded bytes, however well they were compressed.
pub(crate) async fn read(
    connection: &mut Connection,
    head: &response::Parts,
    max: u64,
    wanted: bool,
) -> Result<Vec<u8>, BodyError> {
    let sink = Sink { bytes: wanted.then(Vec::new), room: max, full: false };
    let mut decoder = match encoding(head) {
        Encoding::Other if wanted => return Err(BodyError::Encoded),
        Encoding::Gzip => Decoder::Gzip(Box::new(Gzip::new(sink))),
        Encoding::Identity | Encoding::Other => Decoder::Identity(sink),
    };
    let longest = match &decoder {
        Decoder::Identity(_) => max,
        Decoder::Gzip(_) => max.saturating_add(GZIP_OVERHEAD),
    };
    if connection.announced().is_some_and(|length| length > longest) {
        return Err(BodyError::TooLarge(max));
    }
    let mut seen = 0_u64;
    while let Some(data) = connection.piece().await.map_err(BodyError::Broken)? {
        seen = seen.saturating_add(data.len() as u64);
        if seen > longest {
            return Err(BodyError::TooLarge(max));
        }
        let taken = match &mut decoder {
            Decoder::Identity(sink) => sink.write_all(&data).map_err(|_| Wrong::Full),
            Decoder::Gzip(gzip) => gzip.take(&data),
        };
        match taken {
            Err(Wrong::Full) => return Err(BodyError::TooLarge(max)),
            Err(Wrong::Malformed) if wanted => return Err(BodyError::NotGzip),
            Err(Wrong::Malformed) | Ok(()) => {}
        }
    }
    match decoder {
        Decoder::Identity(sink) => Ok(sink.bytes.unwrap_or_default()),
        Decoder::Gzip(gzip) => match gzip.end() {
            Ok(bytes) => Ok(bytes),
            Err(Wrong::Full) => Err(BodyError::TooLarge(max)),
            Err(Wrong::Malformed) if wanted => Err(BodyError::NotGzip),
            Err(Wrong::Malformed) => Ok(Vec::new()),
        },
    }
}

/// `body` as text in UTF-8, without its byte order mark. Only that mark shows that it is UTF-16.
pub(crate) fn text(body: &[u8]) -> Cow<'_, [u8]> {
    let utf_16 = |units: &[u8], read: fn([u8; 2]) -> u16| {
        let units = units.as_chunks().0.iter().map(|unit| read(*unit));
        let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        Cow::Owned(text.collect::<String>().into_bytes())
    };
    match body {
        [0xff, 0xfe, units @ ..] => utf_16(units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => utf_16(units, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] | text => Cow::Borrowed(text),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    /// One that is not read here, or several.
    Other,
}

/// The encoding that the head names. A name of no encoding, such as a character set, is passed
/// over, as browsers and curl do.
fn encoding(head: &response::Parts) -> Encoding {
    let values = head.headers.get_all(header::CONTENT_ENCODING).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let is = |name: &[u8], one: &[u8]| name.eq_ignore_ascii_case(one);
    let mut found = Encoding::Identity;
    for name in names.map(<[u8]>::trim_ascii) {
        let gzip = is(name, b"gzip") || is(name, b"x-gzip");
        if OTHERS.iter().any(|other| is(name, other)) || (gzip && found == Encoding::Gzip) {
            return Encoding::Other;
        }
        if gzip {
            found = Encoding::Gzip;
        }
    }
    found
}

/// Where the decoded bytes go: counted always, held only when wanted.
struct Sink {
    bytes: Option<Vec<u8>>,
    room: u64,
    full: bool,
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Some(room) = self.room.checked_sub(data.len() as u64) else {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.room = room;
        if let Some(bytes) = &mut self.bytes {
            bytes.extend_from_slice(data);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Identity(Sink),
    Gzip(Box<Gzip>),
}

/// What a decoder found wrong.
enum Wrong {
    Full,
    Malformed,
}

/// A body in gzip: one member after the other, and then whatever pads it.
struct Gzip {
    member: GzDecoder<Sink>,
    state: Member,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    /// No byte of it came yet: an answer without a body has nothing to decode.
    Awaited,
    Begun,
    /// All of it was read; another may follow.
    Whole,
    /// Everything that follows is ignored.
    Padding,
}

impl Gzip {
    fn new(sink: Sink) -> Self {
        Self { member: GzDecoder::new(sink), state: Member::Awaited }
    }

    fn take(&mut self, mut data: &[u8]) -> Result<(), Wrong> {
        while let [first, ..] = data {
            match self.state {
                Member::Padding => return Ok(()),
                Member::Whole if *first != GZIP_MAGIC => {
                    self.state = Member::Padding;
                    return Ok(());
                }
                Member::Whole => {
                    let sink = self.sink();
                    *self = Self::new(sink);
                }
                Member::Awaited | Member::Begun => {}
            }
            self.state = Member::Begun;
            match self.member.write(data) {
                // A member that has ended takes no more.
                Ok(0) => self.finish()?,
                Ok(taken) => data = &data[taken..],
                Err(_) => return Err(self.wrong()),
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Wrong> {
        if self.member.try_finish().is_err() {
            return Err(self.wrong());
        }
        self.state = Member::Whole;
        Ok(())
    }

    fn end(mut self) -> Result<Vec<u8>, Wrong> {
        if self.state == Member::Begun {
            self.finish()?;
        }
        Ok(self.sink().bytes.unwrap_or_default())
    }

    fn sink(&mut self) -> Sink {
        let none = Sink { bytes: None, room: 0, full: false };
        std::mem::replace(self.member.get_mut(), none)
    }

    /// What stopped the decoder, which takes no more from here on.
    fn wrong(&mut self) -> Wrong {
        self.state = Member::Padding;
        if self.member.get_ref().full { Wrong::Full } else { Wrong::Malformed }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hyper::Response;

    use super::*;

    #[test]
    fn what_names_no_encoding_is_passed_over() {
        for (values, wanted) in [
            (&[][..], Encoding::Identity),
            (&[""], Encoding::Identity),
            (&["identity"], Encoding::Identity),
            (&["utf-8"], Encoding::Identity),
            (&["UTF-8, none"], Encoding::Identity),
            (&["gzip"], Encoding::Gzip),
            (&["X-GZip"], Encoding::Gzip),
            (&["utf-8", "gzip"], Encoding::Gzip),
            (&["identity, gzip"], Encoding::Gzip),
            (&["gzip, gzip"], Encoding::Other),
            (&["br"], Encoding::Other),
            (&["gzip", "zstd"], Encoding::Other),
        ] {
            let mut answer = Response::builder();
            for value in values {
                answer = answer.header(header::CONTENT_ENCODING, *value);
            }
            let head = answer.body(()).expect("an answer").into_parts().0;
            assert_eq!(encoding(&head), wanted, "{values:?}");
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    }

    /// What `body` decodes to, given in pieces of `size` bytes.
    fn decoded(body: &[u8], size: usize) -> Option<String> {
        let mut decoder = Gzip::new(Sink { bytes: Some(Vec::new()), room: 100, full: false });
        for piece in body.chunks(size) {
            decoder.take(piece).ok()?;
        }
        String::from_utf8(decoder.end().ok()?).ok()
    }

    #[test]
    fn padding_after_gzip_is_passed_over_wherever_the_pieces_are_cut() {
        let (one, two) = (gzip("one"), gzip("two"));
        for size in 1..=one.len() + 2 {
            for (body, wanted) in [
                (one.clone(), Some("one")),
                ([&one[..], &two].concat(), Some("onetwo")),
                ([&one[..], &[0; 8]].concat(), Some("one")),
                ([&one[..], b"\r\n"].concat(), Some("one")),
                ([&one[..], &two, &[0xff; 20]].concat(), Some("onetwo")),
                (one[..one.len() - 1].to_vec(), None),
                ([&one[..], &two[..5]].concat(), None),
                (b"one".to_vec(), None),
                (Vec::new(), Some("")),
            ] {
                assert_eq!(decoded(&body, size).as_deref(), wanted, "{body:?} by {size}");
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        for (body, wanted) in [
            (&b"\xef\xbb\xbfup"[..], "up"),
            (b"\xff\xfeu\0p\0", "up"),
            (b"\xfe\xff\0u\0p", "up"),
            (b"\xfe\xff\0u\xd8\0", "u\u{fffd}"),
            (b"up", "up"),
            (b"", ""),
        ] {
            assert_eq!(text(body), wanted.as_bytes(), "{body:?}");
        }
    }
}
