//! The mark that some editors write at the start of a file.

const MARK: &[u8] = b"\xef\xbb\xbf";

/// `bytes` without the byte order mark of UTF-8: a reader of PEM does not see the line that begins
/// with it.
pub(crate) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}
