//! Lenient JSON reading: a field that no expectation selects cannot fail a run.
//!
//! `serde_json` refuses a whole document for half a surrogate pair, a number beyond a double or
//! more than 128 levels, wherever they stand, and holds numbers as doubles, so that two integers
//! above 2^53 may seem equal. Here such a document is read:
//!
//! - Half a surrogate pair, and bytes that are not UTF-8, become U+FFFD.
//! - A number that a [`Number`] cannot hold is the nearest one there, and its text is kept beside
//!   the document, so that [`Document::same`] compares it exactly.
//! - What lies deeper than [`DEEPEST`] levels is left out, and said to be.
//! - A byte order mark is ignored (RFC 8259, section 8.1).

mod number;
mod path;

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::body::text;
use number::is_same;
pub(crate) use path::parse as parse_path;

/// Most levels of a document that are read; each takes room on the stack.
const DEEPEST: usize = 400;

/// A document, with what its values cannot hold.
#[derive(Debug)]
pub(crate) struct Document {
    value: Value,
    /// The texts of the numbers that their values hold only nearly, by JSON Pointer.
    exact: HashMap<String, String>,
    is_cut: bool,
}

impl Document {
    /// Reads `body`; none where it is not JSON.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let body = text(body);
        let mut reader = Reader { bytes: &body, at: 0, exact: HashMap::new(), is_cut: false };
        let value = reader.value(0, &Path::Root)?;
        let at_end = reader.next().is_none();
        at_end.then_some(Self { value, exact: reader.exact, is_cut: reader.is_cut })
    }

    pub(crate) const fn value(&self) -> &Value {
        &self.value
    }

    #[cfg(feature = "vitalsign")]
    pub(crate) fn into_value(self) -> Value {
        self.value
    }

    /// Whether it is deeper than what is read of one.
    pub(crate) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether `found`, which stands at this JSON Pointer, is `expected`. Numbers are compared by
    /// value, exactly: 1 is 1.0 and 1e0.
    pub(crate) fn same(&self, pointer: &str, found: &Value, expected: &Value) -> bool {
        match (found, expected) {
            (Value::Number(found), Value::Number(expected)) => match self.exact.get(pointer) {
                Some(text) => is_same(text, expected),
                None => is_same(&found.to_string(), expected),
            },
            (Value::Array(found), Value::Array(expected)) => {
                let mut pairs = found.iter().zip(expected).enumerate();
                found.len() == expected.len()
                    && pairs.all(|(n, (f, e))| self.same(&format!("{pointer}/{n}"), f, e))
            }
            (Value::Object(found), Value::Object(expected)) => {
                let same = |(name, found): (&String, &Value)| {
                    let pointer = format!("{pointer}/{}", escaped(name));
                    expected.get(name).is_some_and(|e| self.same(&pointer, found, e))
                };
                found.len() == expected.len() && found.iter().all(same)
            }
            (found, expected) => found == expected,
        }
    }
}

/// Where a value stands.
enum Path<'a> {
    Root,
    Name(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// As a JSON Pointer (RFC 6901).
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Name(above, name) => format!("{}/{}", above.pointer(), escaped(name)),
            Self::Index(above, index) => format!("{}/{index}", above.pointer()),
        }
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    exact: HashMap<String, String>,
    is_cut: bool,
}

impl Reader<'_> {
    /// Skips blanks and returns the next byte, without taking it.
    fn next(&mut self) -> Option<u8> {
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        self.at += self.bytes[self.at..].iter().take_while(blank).count();
        self.bytes.get(self.at).copied()
    }

    /// Skips blanks and takes the next byte if it is `wanted`.
    fn takes(&mut self, wanted: u8) -> bool {
        let found = self.next() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize, path: &Path<'_>) -> Option<Value> {
        match self.next()? {
            b'{' if depth == DEEPEST => self.skip().map(|()| Value::Object(Map::new())),
            b'[' if depth == DEEPEST => self.skip().map(|()| Value::Array(Vec::new())),
            b'{' => self.object(depth + 1, path),
            b'[' => self.array(depth + 1, path),
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(path).map(Value::Number),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(value)
    }

    fn object(&mut self, depth: usize, path: &Path<'_>) -> Option<Value> {
        let mut members = Map::new();
        self.takes(b'{');
        if self.takes(b'}') {
            return Some(Value::Object(members));
        }
        loop {
            if self.next() != Some(b'"') {
                return None;
            }
            let name = self.string()?;
            let path = Path::Name(path, &name);
            if members.contains_key(&name) {
                // The last of several counts.
                let pointer = path.pointer();
                self.exact.retain(|at, _| !at.starts_with(&pointer));
            }
            let value = if self.takes(b':') { self.value(depth, &path)? } else { return None };
            members.insert(name, value);
            if self.takes(b'}') {
                return Some(Value::Object(members));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn array(&mut self, depth: usize, path: &Path<'_>) -> Option<Value> {
        let mut items = Vec::new();
        self.takes(b'[');
        if self.takes(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth, &Path::Index(path, items.len()))?);
            if self.takes(b']') {
                return Some(Value::Array(items));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    /// Passes over an object or an array, however deep it is, without any stack.
    fn skip(&mut self) -> Option<()> {
        self.is_cut = true;
        let mut open = Vec::new();
        loop {
            match self.next()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                close @ (b'}' | b']') if open.pop() != Some(close) => return None,
                _ => {}
            }
            self.at += 1;
            if open.is_empty() {
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
            text.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
            let escaped = self.escape()?;
            text.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// The character that the escape behind a backslash stands for.
    fn escape(&mut self) -> Option<char> {
        let escaped = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if let Some(character) = char::from_u32(unit.into()) {
                    return Some(character);
                }
                let before = self.at;
                let low = if self.bytes[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    self.unit()?
                } else {
                    0
                };
                let pair = char::decode_utf16([unit, low]).next()?;
                // Half a pair; what comes after it stands for itself.
                pair.unwrap_or_else(|_| {
                    self.at = before;
                    char::REPLACEMENT_CHARACTER
                })
            }
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        let hex = digits.iter().all(u8::is_ascii_hexdigit);
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| hex)
    }

    fn number(&mut self, path: &Path<'_>) -> Option<Number> {
        let begin = self.at;
        let negative = self.takes(b'-');
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes[self.at - whole] == b'0') {
            return None;
        }
        let mut is_integer = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            is_integer = false;
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            is_integer = false;
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return None;
            }
        }
        let text = std::str::from_utf8(&self.bytes[begin..self.at]).ok()?;
        let integer = text.parse::<i64>().map(Number::from).ok();
        let integer = integer.or_else(|| text.parse::<u64>().map(Number::from).ok());
        if let Some(number) = integer.filter(|_| is_integer) {
            return Some(number);
        }
        let nearest: f64 = text.parse().ok()?;
        if !number::is_held(text, nearest) {
            self.exact.insert(path.pointer(), text.to_owned());
        }
        let most = if negative { f64::MIN } else { f64::MAX };
        Number::from_f64(if nearest.is_finite() { nearest } else { most })
    }

    /// Takes digits, and says how many they were.
    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        count
    }
}

#[cfg(test)]
mod tests;
