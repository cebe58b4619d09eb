//! Where the body of an answer ends (RFC 9112, section 6.3).

use hyper::header::{self, HeaderMap};
use hyper::http::response;
use hyper::{Method, StatusCode, Version};

use super::Error;

/// What ends a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are left of it.
    Length(u64),
    /// A chunk of length 0.
    Chunked(Chunk),
    /// The end of the connection.
    UntilClose,
}

/// What comes next of a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end behind a chunk.
    End,
    /// Trailers, of which so many bytes may come; what they say is ignored.
    Trailers(usize),
}

impl Framing {
    /// No body, or the end of one.
    pub(super) const DONE: Self = Self::Length(0);

    /// How the body of the answer `head` to a request with `method` is framed.
    pub(super) fn of(method: &Method, head: &response::Parts) -> Result<Self, Error> {
        let status = head.status;
        let bodiless = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || *method == Method::HEAD {
            return Ok(Self::DONE);
        }
        let mut codings = list(&head.headers, &header::TRANSFER_ENCODING);
        if codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
            return Ok(Self::Chunked(Chunk::Size));
        }
        let mut length = None;
        for text in list(&head.headers, &header::CONTENT_LENGTH) {
            let found = number(text, 10).ok_or(Error::Malformed("its length is no number"))?;
            if length.is_some_and(|length| length != found) {
                return Err(Error::Malformed("it announces two lengths"));
            }
            length = Some(found);
        }
        if length.is_none() && head.headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Error::Malformed("its length is no number"));
        }
        Ok(length.map_or(Self::UntilClose, Self::Length))
    }
}

/// Whether the peer keeps the connection open for another request.
pub(super) fn keeps_alive(head: &response::Parts) -> bool {
    let says = |word: &[u8]| {
        list(&head.headers, &header::CONNECTION).any(|found| found.eq_ignore_ascii_case(word))
    };
    if head.version == Version::HTTP_10 { says(b"keep-alive") } else { !says(b"close") }
}

/// The items of all headers `name`.
fn list<'a>(
    headers: &'a HeaderMap,
    name: &'a header::HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    let items = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// The size of a chunk by its line, which may say more behind it.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Error> {
    let wrong = Error::Malformed("a chunk of its body has no size");
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    if !matches!(rest.first(), None | Some(b' ' | b'\t' | b';')) || size.len() > 16 {
        return Err(wrong);
    }
    number(size, 16).ok_or(wrong)
}

/// A number without a sign; one that no machine can hold is the largest.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let digits = |byte: &u8| char::from(*byte).to_digit(radix).map(u64::from);
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        Some(number.saturating_mul(radix.into()).saturating_add(digits(byte)?))
    })
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    fn framing(status: u16, headers: &[(&'static str, &'static str)]) -> Result<Framing, Error> {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        Framing::of(&Method::GET, &answer.body(()).expect("an answer").into_parts().0)
    }

    #[test]
    fn a_body_ends_as_the_head_says() {
        let (length, coding) = ("content-length", "transfer-encoding");
        for (status, headers, wanted) in [
            (200, &[(length, "5")][..], Framing::Length(5)),
            (200, &[(length, "5"), (length, "5")], Framing::Length(5)),
            (200, &[(length, "5, 5")], Framing::Length(5)),
            (200, &[(length, "99999999999999999999")], Framing::Length(u64::MAX)),
            (200, &[(coding, "chunked")], Framing::Chunked(Chunk::Size)),
            (200, &[(coding, "Chunked"), (length, "9")], Framing::Chunked(Chunk::Size)),
            (200, &[(coding, "identity"), (length, "9")], Framing::Length(9)),
            (200, &[], Framing::UntilClose),
            (204, &[(length, "5")], Framing::DONE),
            (304, &[(coding, "chunked")], Framing::DONE),
            (101, &[(length, "5")], Framing::DONE),
        ] {
            assert_eq!(framing(status, headers).expect("a right head"), wanted, "{headers:?}");
        }
        for headers in [&[(length, "5"), (length, "6")][..], &[(length, "-1")], &[(length, "")]] {
            assert!(matches!(framing(200, headers), Err(Error::Malformed(_))), "{headers:?}");
        }
    }

    #[test]
    fn the_size_of_a_chunk_is_hexadecimal_and_may_be_followed_by_more() {
        for (line, size) in [("5", 5), ("1F;a=b", 31), ("0 ", 0), ("a\t;x", 10)] {
            assert_eq!(chunk_size(line.as_bytes()).expect(line), size);
        }
        for line in ["", "zz", "-1", "5x", "ffffffffffffffffff"] {
            assert!(chunk_size(line.as_bytes()).is_err(), "{line}");
        }
    }
}
