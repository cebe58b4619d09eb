//! Collects everything that is wrong with a configuration, each finding with its position.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::external::{ExternalValue, Origin};
use super::tree::{Node, Position, Source};

/// One thing wrong in a configuration, or worth a warning.
///
/// It displays as `file:line:column: path: what is wrong; what would be right`, without any secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The option, such as `checks.orders-db.url`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}

/// Why a configuration was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; name a readable file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not UTF-8 text.
    #[error("the configuration {} is not UTF-8; write it as UTF-8 text", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// It was read and is wrong: everything found, a line each, in order of position.
    #[error("{}", lines(.0))]
    Invalid(Vec<Diagnostic>),
}

impl ConfigError {
    /// Everything found wrong; empty when the file could not be read at all.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Invalid(found) => found,
            Self::Unreadable { .. } | Self::NotUtf8 { .. } => &[],
        }
    }
}

fn lines(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects findings while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Values that came from elsewhere.
    pub(super) external: BTreeSet<ExternalValue>,
    errors: Vec<Found>,
    warnings: Vec<Found>,
    broken_lines: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Found {
    at: Position,
    path: String,
    message: String,
    nature: FindingKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FindingKind {
    Syntax,
    Presence,
    Absence,
}

impl Report {
    /// Something is wrong at `at`.
    pub(super) fn error(
        &mut self,
        at: Position,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.push(at, path.into(), message.into(), FindingKind::Presence);
    }

    /// A value of `option` was read from elsewhere.
    pub(super) fn read(&mut self, option: &str, origin: Origin) {
        self.external.insert(ExternalValue { option: option.to_owned(), origin });
    }

    /// Something is missing. This is not reported together with a syntax error, which may have
    /// hidden it, or if another error of the same option was reported.
    pub(super) fn absent(
        &mut self,
        at: Position,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        let path = path.into();
        if !self.knows(at.file, &path) {
            self.push(at, path, message.into(), FindingKind::Absence);
        }
    }

    /// The text at `at` is not TOML. Other findings on the same `line` would be consequences of
    /// that.
    pub(super) fn syntax(&mut self, at: Position, line: usize, path: String, message: String) {
        self.broken_lines.push((at.file, line));
        self.push(at, path, message, FindingKind::Syntax);
    }

    /// Something that is allowed, but may be a mistake.
    pub(super) fn warning(
        &mut self,
        at: Position,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        let (path, message) = (path.into(), message.into());
        self.warnings.push(Found { at, path, message, nature: FindingKind::Presence });
    }

    /// The option at `path` within `node` is wrong. Nothing is reported for a stand-in, whose value
    /// was reported already.
    pub(super) fn option(&mut self, node: &Node, path: &str, message: impl Into<String>) {
        let (found, rest) = node.locate(path);
        if !found.poisoned {
            self.error(found.at, found.path_of(rest), message);
        }
    }

    /// Whether the option `key` of `node` was reported; errors that its default leads to are
    /// consequences.
    pub(super) fn has(&self, node: &Node, key: &str) -> bool {
        self.knows(node.at.file, &node.path_of(key))
    }

    /// The options of `node` that were reported, by the last key of their paths.
    pub(super) fn options_of(&self, node: &Node) -> Vec<String> {
        let within = |found: &&Found| {
            found.at.file == node.at.file
                && found.path.strip_prefix(&node.path).is_some_and(|rest| rest.starts_with('.'))
        };
        let key = |found: &Found| found.path.rsplit('.').next().map(str::to_owned);
        self.errors.iter().filter(within).filter_map(key).collect()
    }

    /// Whether anything was found at `path` in `file`, or below it.
    fn knows(&self, file: usize, path: &str) -> bool {
        self.errors.iter().any(|found| {
            found.at.file == file
                && found.path.strip_prefix(path).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
                })
        })
    }

    fn push(&mut self, at: Position, path: String, message: String, nature: FindingKind) {
        self.errors.push(Found { at, path, message, nature });
    }

    /// Everything found: the errors if there are any, else the warnings.
    pub(super) fn finish(self, sources: &[Source]) -> Result<Vec<Diagnostic>, ConfigError> {
        let broken = self.errors.iter().any(|found| found.nature == FindingKind::Syntax);
        let mut errors: Vec<Found> = self
            .errors
            .into_iter()
            .filter(|found| match found.nature {
                FindingKind::Syntax => true,
                FindingKind::Absence => !broken,
                FindingKind::Presence => {
                    let line = sources.get(found.at.file).map_or(0, |s| s.position(found.at).0);
                    !self.broken_lines.contains(&(found.at.file, line))
                }
            })
            .collect();
        if errors.is_empty() {
            return Ok(placed(self.warnings, sources));
        }
        errors.dedup_by(|a, b| a.at == b.at && a.path == b.path && a.message == b.message);
        Err(ConfigError::Invalid(placed(errors, sources)))
    }
}

fn placed(mut found: Vec<Found>, sources: &[Source]) -> Vec<Diagnostic> {
    found.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    found
        .into_iter()
        .map(|Found { at, path, message, .. }| {
            let (file, (line, column)) = sources
                .get(at.file)
                .map_or_else(|| (String::new(), (1, 1)), |s| (s.name.clone(), s.position(at)));
            Diagnostic { file, line, column, path, message }
        })
        .collect()
}
