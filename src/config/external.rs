//! Values of a configuration that come from elsewhere: from a variable, or from the file of a secret.

use std::path::PathBuf;

/// An option whose value, or a part of it, was read from elsewhere. It does not hold the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ExternalValue {
    /// The option, such as `server.token`.
    pub option: String,
    /// Where its value came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// The variable of this name, by `${NAME}` or `{ env = "NAME" }`.
    Variable(String),
    /// This file, by `{ file = "…" }`.
    File(PathBuf),
}
