//! The packets of MySQL's protocol: how they are framed, and what stands in them.
//!
//! A packet has a length of three bytes, a number that both sides count up within an exchange, and
//! its contents. One of the greatest length is continued by the next.

use super::error::Trouble;

/// Length from which on a packet is continued by the next.
pub(super) const LONGEST: usize = 0x00ff_ffff;

/// How the contents of a packet begin.
pub(super) const OK: u8 = 0x00;
pub(super) const MORE_DATA: u8 = 0x01;
pub(super) const LOCAL_FILE: u8 = 0xfb;
pub(super) const END: u8 = 0xfe;
pub(super) const ERROR: u8 = 0xff;

/// A packet of `contents` with the number `sequence`.
pub(super) fn frame(sequence: u8, contents: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(contents.len() + 5);
    let mut sequence = sequence;
    let mut rest = contents;
    loop {
        let (part, after) = rest.split_at(rest.len().min(LONGEST));
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        framed.extend([length[0], length[1], length[2], sequence]);
        framed.extend(part);
        if part.len() < LONGEST {
            return framed;
        }
        (rest, sequence) = (after, sequence.wrapping_add(1));
    }
}

/// Reads the contents of a packet from their start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// So many bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Trouble> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Trouble::OtherProtocol)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of so many bytes, the lowest first.
    pub(super) fn number(&mut self, length: usize) -> Result<u64, Trouble> {
        let bytes = self.take(length)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn byte(&mut self) -> Result<u8, Trouble> {
        self.take(1).map(|byte| byte[0])
    }

    /// The bytes before the next zero, or all where there is none.
    pub(super) fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = end.map_or(&[], |end| &self.0[end + 1..]);
        text
    }

    /// A number whose first byte tells its length; `None` stands for NULL.
    pub(super) fn variable(&mut self) -> Result<Option<u64>, Trouble> {
        match self.byte()? {
            0xfb => Ok(None),
            0xfc => self.number(2).map(Some),
            0xfd => self.number(3).map(Some),
            0xfe => self.number(8).map(Some),
            0xff => Err(Trouble::OtherProtocol),
            small => Ok(Some(small.into())),
        }
    }

    /// A text with its length before it; `None` stands for NULL.
    pub(super) fn text(&mut self) -> Result<Option<String>, Trouble> {
        let Some(length) = self.variable()? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Trouble::OtherProtocol)?;
        Ok(Some(String::from_utf8_lossy(self.take(length)?).into_owned()))
    }
}

/// The error that a server reports in a packet of these contents.
pub(super) fn refusal(contents: &[u8]) -> Trouble {
    let mut reader = Reader(contents.get(1..).unwrap_or_default());
    let Ok(number) = reader.number(2) else { return Trouble::OtherProtocol };
    // The SQLSTATE, which a server that has not greeted yet leaves out.
    let text = match reader.0 {
        [b'#', rest @ ..] => rest.get(5..).unwrap_or_default(),
        text => text,
    };
    Trouble::Refused {
        number: u16::try_from(number).unwrap_or_default(),
        text: String::from_utf8_lossy(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_packet_is_continued() {
        assert_eq!(frame(7, b"ab"), b"\x02\0\0\x07ab");
        assert_eq!(frame(3, b""), b"\0\0\0\x03");
        let long = frame(0, &vec![b'a'; LONGEST + 1]);
        assert_eq!(long[..4], [0xff, 0xff, 0xff, 0]);
        assert_eq!(long[4 + LONGEST..], [1, 0, 0, 1, b'a']);
    }

    #[test]
    fn numbers_and_texts_are_read_in_each_of_their_forms() {
        let bytes = b"\x05\xfb\xfc\x01\x02\xfd\x01\x02\x03\xfe\x01\0\0\0\0\0\0\0\x02hi\xfbrest";
        let mut reader = Reader(bytes);
        let numbers: Vec<_> = (0..5).map(|_| reader.variable().expect("a number")).collect();
        assert_eq!(numbers, [Some(5), None, Some(0x0201), Some(0x03_0201), Some(1)]);
        assert_eq!(reader.text().expect("a text").as_deref(), Some("hi"));
        assert_eq!(reader.text().expect("a NULL"), None);
        assert_eq!(reader.until_zero(), b"rest");
        assert!(reader.byte().is_err() && Reader(b"\x09short").text().is_err());
    }

    #[test]
    fn an_error_is_read_with_and_without_its_state() {
        for contents in [&b"\xff\x15\x04#28000Access denied"[..], b"\xff\x15\x04Access denied"] {
            let Trouble::Refused { number, text } = refusal(contents) else { panic!("a refusal") };
            assert_eq!((number, text.as_str()), (1045, "Access denied"));
        }
        assert!(matches!(refusal(b"\xff\x15"), Trouble::OtherProtocol));
    }
}
