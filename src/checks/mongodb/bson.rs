//! The part of BSON (bsonspec.org, version 1.1) that commands and their replies need.
//!
//! Nested documents are measured and passed over. So nothing recurses, and no memory is reserved for
//! bytes that were not received.

/// A document that is being written.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A document whose first field is the command `name`.
    pub(super) fn command(name: &'static str) -> Self {
        Self::new().int32(name, 1)
    }

    pub(super) fn new() -> Self {
        Self(vec![0; 4])
    }

    /// Starts a field; `key` holds no NUL, which would end it.
    fn key(mut self, kind: u8, key: &'static str) -> Self {
        self.0.push(kind);
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(0);
        self
    }

    fn length(&mut self, length: usize) {
        // What a configuration holds is far shorter than any length that does not fit.
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    pub(super) fn int32(self, key: &'static str, value: i32) -> Self {
        let mut with = self.key(0x10, key);
        with.0.extend_from_slice(&value.to_le_bytes());
        with
    }

    pub(super) fn flag(self, key: &'static str, value: bool) -> Self {
        let mut with = self.key(0x08, key);
        with.0.push(value.into());
        with
    }

    pub(super) fn text(self, key: &'static str, value: &str) -> Self {
        let mut with = self.key(0x02, key);
        with.length(value.len() + 1);
        with.0.extend_from_slice(value.as_bytes());
        with.0.push(0);
        with
    }

    pub(super) fn binary(self, key: &'static str, value: &[u8]) -> Self {
        let mut with = self.key(0x05, key);
        with.length(value.len());
        // Of the generic subtype.
        with.0.push(0);
        with.0.extend_from_slice(value);
        with
    }

    pub(super) fn document(self, key: &'static str, value: Self) -> Self {
        let mut with = self.key(0x03, key);
        with.0.extend_from_slice(&value.finish());
        with
    }

    #[cfg(test)]
    pub(super) fn array(self, key: &'static str, value: Self) -> Self {
        let mut with = self.key(0x04, key);
        with.0.extend_from_slice(&value.finish());
        with
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push(0);
        let length = i32::try_from(self.0.len()).unwrap_or(i32::MAX);
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}

/// The bytes that were received are not a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A document that was received.
#[derive(Debug)]
pub(super) struct Document(Vec<u8>);

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// A double or an integer; one of 64 bits may lose its last digits.
    Number(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    Flag(bool),
    /// The fields of an array, as they were received.
    Array(&'a [u8]),
    /// Anything else.
    Other,
}

impl Document {
    /// Takes `bytes` for a document, when all of them are one.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let length = bytes.first_chunk().map(|length| i32::from_le_bytes(*length));
        let whole = length.and_then(|length| usize::try_from(length).ok()) == Some(bytes.len());
        if !whole || bytes.len() < 5 || bytes.last() != Some(&0) {
            return Err(Malformed);
        }
        let document = Self(bytes);
        document.fields().try_for_each(|field| field.map(drop))?;
        Ok(document)
    }

    fn fields(&self) -> Fields<'_> {
        Fields(&self.0[4..self.0.len() - 1])
    }

    /// The value of the first field called `key`.
    pub(super) fn get(&self, key: &str) -> Option<Value<'_>> {
        self.fields().flatten().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Number(number) => Some(number),
            Value::Flag(flag) => Some(f64::from(u8::from(flag))),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts in the array called `key`; what else is in it is ignored.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<&str>> {
        let Value::Array(fields) = self.get(key)? else { return None };
        let values = Fields(fields).map_while(Result::ok);
        let texts = values.filter_map(|(_, value)| match value {
            Value::Text(text) => Some(text),
            _ => None,
        });
        Some(texts.collect())
    }

    /// Whether `key` is there and true.
    pub(super) fn says(&self, key: &str) -> bool {
        self.number(key).is_some_and(|number| number != 0.0)
    }
}

/// What is left of a document's fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(&'a str, Value<'a>)> {
        let kind = self.take(1)?[0];
        let key = self.cstring()?;
        let value = match kind {
            0x01 => Value::Number(f64::from_le_bytes(self.array()?)),
            0x10 => Value::Number(i32::from_le_bytes(self.array()?).into()),
            0x12 => Value::Number(i64::from_le_bytes(self.array()?) as f64),
            0x08 => Value::Flag(self.take(1)?[0] != 0),
            0x02 => Value::Text(std::str::from_utf8(self.string()?).ok()?),
            0x05 => {
                let length = self.length()?;
                self.take(1)?;
                Value::Binary(self.take(length)?)
            }
            // The length counts itself, and a NUL stands at the end.
            0x04 => Value::Array(self.take_counted()?.strip_suffix(&[0])?),
            kind => {
                self.skip(kind)?;
                Value::Other
            }
        };
        Some((std::str::from_utf8(key).ok()?, value))
    }

    /// Passes over a value of `kind`.
    fn skip(&mut self, kind: u8) -> Option<()> {
        match kind {
            // Undefined, null, and the ends of all orders.
            0x06 | 0x0a | 0x7f | 0xff => {}
            // An instant, a timestamp.
            0x09 | 0x11 => drop(self.take(8)?),
            // An object's id, a decimal.
            0x07 => drop(self.take(12)?),
            0x13 => drop(self.take(16)?),
            // Code, a symbol.
            0x0d | 0x0e => drop(self.string()?),
            // A regular expression.
            0x0b => drop((self.cstring()?, self.cstring()?)),
            // A pointer into another database.
            0x0c => drop((self.string()?, self.take(12)?)),
            // A document, code with a scope: their length counts itself.
            0x03 | 0x0f => drop(self.take_counted()?),
            _ => return None,
        }
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_counted(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?.checked_sub(4)?;
        self.take(length)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(i32::from_le_bytes(self.array()?)).ok()
    }

    /// A string with its length before it and a NUL behind it.
    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)?.strip_suffix(&[0])
    }

    fn cstring(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a str, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            // Nothing behind it can be read.
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of bsonspec.org's FAQ, and `bson.encode` of MongoDB's Python driver.
    #[test]
    fn what_others_write_is_read() {
        let hello = b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0".to_vec();
        let hello = Document::parse(hello).expect("a document");
        assert_eq!(hello.get("hello"), Some(Value::Text("world")));
        assert_eq!(hello.get("world"), None);
        let array = b"\x31\0\0\0\x04BSON\0\x26\0\0\0\x020\0\x08\0\0\0awesome\0\
            \x011\0\x33\x33\x33\x33\x33\x33\x14\x40\x102\0\xc2\x07\0\0\0\0";
        let array = Document::parse(array.to_vec()).expect("a document");
        assert_eq!(array.texts("BSON"), Some(vec!["awesome"]));
        assert_eq!(hello.texts("hello"), None);
        let all = EVERY_TYPE.to_vec();
        let all = Document::parse(all).expect("a document");
        assert_eq!(all.fields().count(), 22);
        assert_eq!(all.number("long"), Some(2_f64.powi(40)));
        assert_eq!(all.get("binary"), Some(Value::Binary(b"abc")));
        assert!(all.says("last") && !all.says("first"));
    }

    #[test]
    fn what_is_written_is_what_others_write() {
        let inner = Writer::new().binary("b", b"abc").flag("f", true);
        let written = Writer::command("hello").text("t", "é").document("d", inner).finish();
        assert_eq!(written, WRITTEN);
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            &b""[..],
            b"\x05\0\0\0",
            b"\x05\0\0\0\x01",
            b"\x06\0\0\0\0",
            b"\xff\xff\xff\xff\0",
            // A value that ends too soon, a length below zero, a type that does not exist.
            b"\x0a\0\0\0\x10a\0\x01\0\0",
            b"\x0c\0\0\0\x02a\0\xff\xff\xff\xff\0",
            b"\x08\0\0\0\x99a\0\0",
            // A string without its end, one that is not UTF-8, a nested length below its own.
            b"\x0d\0\0\0\x02a\0\x01\0\0\0a\0",
            b"\x0e\0\0\0\x02a\0\x02\0\0\0\xff\0\0",
            b"\x0c\0\0\0\x03a\0\x03\0\0\0\0",
        ] {
            assert_eq!(Document::parse(bytes.to_vec()).err(), Some(Malformed), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let length = u8::try_from(bytes.len() + 5).expect("it is short");
            let framed = [&[length, 0, 0, 0][..], &bytes, &[0]].concat();
            let _ = Document::parse(bytes);
            if let Ok(document) = Document::parse(framed) {
                prop_assert!(document.fields().all(|field| field.is_ok()));
            }
        }
    }

    /// Every type there is: those that MongoDB's Python driver writes, by it, and three that only old
    /// servers write.
    const EVERY_TYPE: &[u8] = b"\
        H\x01\0\0\x08first\0\0\x01double\0\0\0\0\0\0\0\xf8?\x02text\0\x02\0\0\0x\0\x03doc\0\
        \x14\0\0\0\x03a\0\x0c\0\0\0\x10b\0\x01\0\0\0\0\0\x04array\0\x13\0\0\0\x100\0\x01\0\0\
        \0\x101\0\x02\0\0\0\0\x05binary\0\x03\0\0\0\0abc\x07id\0\x01#Eg\x89\xab\xcd\xef\x01#\
        Eg\x09date\0\0\xa8\xdav\x9b\x01\0\0\x0anull\0\x0bregex\0a\0i\0\x0dcode\0\x04\0\0\0f(\
        )\0\x0fscoped\0\x18\0\0\0\x04\0\0\0f()\0\x0c\0\0\0\x10a\0\x01\0\0\0\0\x10int\0\x07\0\
        \0\0\x11time\0\x02\0\0\0\x01\0\0\0\x12long\0\0\0\0\0\0\x01\0\0\x13dec\0\x0f\0\0\0\0\
        \0\0\0\0\0\0\0\0\0>0\xffmin\0\x7fmax\0\x06undefined\0\x0esymbol\0\x02\0\0\0s\0\x0cpo\
        inter\0\x02\0\0\0p\x00000000000000\x08last\0\x01\0";

    const WRITTEN: &[u8] = b"\
        1\0\0\0\x10hello\0\x01\0\0\0\x02t\0\x03\0\0\0\xc3\xa9\0\x03d\0\x14\0\0\0\x05b\0\x03\
        \0\0\0\0abc\x08f\0\x01\0\0";
}
