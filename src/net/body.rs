//! Reading an answer's body: decoded, and never more of it than allowed.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header;
use hyper::http::response;

use crate::engine::check::Failure;
use crate::model::Reason;

use super::{Endpoint, http1};

/// What gzip may add to a body that it cannot shorten, and then some.
const GZIP_OVERHEAD: u64 = 64 * 1024;

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than the bound, in bytes.
    TooLarge(u64),
    /// It is not what its `Content-Encoding` says.
    NotGzip,
    /// It has an encoding that nobody asked for.
    Encoded,
    /// The exchange broke off.
    Broken(hyper::Error),
}

impl BodyError {
    /// The failure that it stands for; `bound` says what the bound is, as in ` of max_body`.
    pub(crate) fn failure(&self, endpoint: &Endpoint, bound: &str) -> Failure {
        let (reason, what) = match self {
            Self::Broken(error) => return http1::failure(endpoint, error),
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
/// No more than `max` decoded bytes are held or counted, however few they were on the way.
pub(crate) async fn read(
    head: &response::Parts,
    mut body: Incoming,
    max: u64,
    wanted: bool,
) -> Result<Vec<u8>, BodyError> {
    let sink = Sink { bytes: wanted.then(Vec::new), room: max, full: false };
    let mut decoder = match encoding(head) {
        Encoding::Unknown if wanted => return Err(BodyError::Encoded),
        Encoding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink)), false),
        Encoding::Identity | Encoding::Unknown => Decoder::Identity(sink),
    };
    let longest = match &decoder {
        Decoder::Identity(_) => max,
        Decoder::Gzip(..) => max.saturating_add(GZIP_OVERHEAD),
    };
    if body.size_hint().lower() > longest {
        return Err(BodyError::TooLarge(max));
    }
    let mut seen = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        seen = seen.saturating_add(data.len() as u64);
        if seen > longest {
            return Err(BodyError::TooLarge(max));
        }
        decoder.take(&data).map_err(|wrong| wrong.of(max))?;
    }
    decoder.end().map_err(|wrong| wrong.of(max))
}

enum Encoding {
    Identity,
    Gzip,
    Unknown,
}

fn encoding(head: &response::Parts) -> Encoding {
    let mut named = head.headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(first), None) = (named.next(), named.next()) else {
        let any = head.headers.contains_key(header::CONTENT_ENCODING);
        return if any { Encoding::Unknown } else { Encoding::Identity };
    };
    let first = first.as_bytes().trim_ascii();
    if first.eq_ignore_ascii_case(b"identity") || first.is_empty() {
        Encoding::Identity
    } else if first.eq_ignore_ascii_case(b"gzip") || first.eq_ignore_ascii_case(b"x-gzip") {
        Encoding::Gzip
    } else {
        Encoding::Unknown
    }
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
    /// And whether any byte came: an answer without a body has nothing to decode.
    Gzip(Box<MultiGzDecoder<Sink>>, bool),
}

/// What a decoder found wrong.
enum Wrong {
    Full,
    Malformed,
}

impl Wrong {
    fn of(self, max: u64) -> BodyError {
        match self {
            Self::Full => BodyError::TooLarge(max),
            Self::Malformed => BodyError::NotGzip,
        }
    }
}

impl Decoder {
    fn take(&mut self, data: &Bytes) -> Result<(), Wrong> {
        match self {
            Self::Identity(sink) => sink.write_all(data).map_err(|_| Wrong::Full),
            Self::Gzip(decoder, begun) => {
                *begun |= !data.is_empty();
                decoder.write_all(data).map_err(|_| wrong(decoder))
            }
        }
    }

    fn end(self) -> Result<Vec<u8>, Wrong> {
        let sink = match self {
            Self::Identity(sink) => sink,
            Self::Gzip(mut decoder, begun) => {
                if begun {
                    decoder.try_finish().map_err(|_| wrong(&decoder))?;
                }
                std::mem::replace(decoder.get_mut(), Sink { bytes: None, room: 0, full: false })
            }
        };
        Ok(sink.bytes.unwrap_or_default())
    }
}

fn wrong(decoder: &MultiGzDecoder<Sink>) -> Wrong {
    if decoder.get_ref().full { Wrong::Full } else { Wrong::Malformed }
}
