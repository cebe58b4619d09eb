//! The result of loading a configuration.

use super::diagnostics::{ConfigError, Diagnostic};
use super::settings::Settings;
use super::watch::Watch;
use crate::engine::check::Declared;

/// A valid configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// Every section but the checks, with defaults filled in.
    pub settings: Settings,
    /// The enabled checks, sorted by name, with defaults filled in.
    pub checks: Vec<NamedCheck>,
    /// The names of checks with `enabled = false`, sorted.
    pub disabled: Vec<String>,
    /// Warnings, which are logged at start.
    pub warnings: Vec<Diagnostic>,
    /// The files it was made of.
    pub watch: Watch,
    /// Whether the file holds nothing but white space and comments.
    pub blank: bool,
}

/// The result of one attempt to load a configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The configuration, or all that is wrong with it.
    pub result: Result<Loaded, ConfigError>,
    /// The files that were read, or could not be read, as far as they are known. A change of one of
    /// them may change the result.
    pub watch: Watch,
}

/// A check with its name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamedCheck {
    /// `[a-z0-9][a-z0-9_-]{0,62}`, unique.
    pub name: String,
    /// The check and what was declared about it, with every option set.
    pub declared: Declared,
}

impl NamedCheck {
    /// Digest of everything that it was built from, secrets and certificates included. It is equal
    /// for equal declarations, so that a reload does not restart such a check.
    #[must_use]
    pub fn revision(&self) -> [u8; 32] {
        self.declared.revision.unwrap_or_default()
    }
}
