//! A text that no output ever shows.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

/// Characters of the shortest secret that can be cut out of a message. A shorter one stands in many
/// words, and the holes would show it.
#[cfg(any(feature = "config", feature = "sql-pool"))]
const SHORTEST_SECRET: usize = 4;

/// A text that no output ever shows: a password, a token, a URL that may hold one.
///
/// Its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is too short to be cut out of a message, and so short that it is soon guessed.
    #[cfg(any(feature = "config", feature = "sql-pool"))]
    pub(crate) fn is_too_short(&self) -> bool {
        self.expose().chars().count() < SHORTEST_SECRET
    }

    /// Whether `given` is this secret. The time it takes shows at most whether the lengths are
    /// equal, never how much of the content is.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        self.expose().as_bytes().ct_eq(given).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
