//! The built-in check kinds, one file each, and the list of them.

use crate::config::Kind;

/// Every built-in kind, sorted by name.
pub const KINDS: &[Kind] = &[];
