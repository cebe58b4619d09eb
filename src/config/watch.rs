//! The files that a configuration was made of, for telling when it has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use sha2::{Digest as _, Sha256};

/// Every file whose change may change the configuration: the file itself, included ones, those of
/// secrets and certificates, and whatever else the patterns of `[include]` come to match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) patterns: Vec<String>,
}

impl Watch {
    /// The files as they are now, sorted, absolute.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let matched = self.patterns.iter().flat_map(|pattern| matches(pattern));
        let all: BTreeSet<PathBuf> = self.files.iter().cloned().chain(matched).collect();
        all.into_iter().collect()
    }

    /// A digest of those files' names and contents, links followed: it changes when any of them
    /// does. A file that cannot be read counts as missing.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for path in self.files() {
            all.update(Sha256::digest(path.as_os_str().as_encoded_bytes()));
            match content(&path) {
                Some(digest) => all.update(digest),
                None => all.update([0]),
            }
        }
        all.finalize().into()
    }
}

/// A configuration is never so large; a device or a log that was named by mistake may be.
const MAX_READ: u64 = 64 * 1024 * 1024;

fn content(path: &Path) -> Option<[u8; 32]> {
    use std::io::Read as _;

    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_READ).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(bytes).into())
}

/// Whether a name in `[include]` is a pattern; a name without a wildcard must exist.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// A pattern relative to `folder`, whose own name is taken literally.
pub(super) fn pattern_in(folder: &Path, pattern: &str) -> Option<String> {
    if Path::new(pattern).is_absolute() {
        return Some(pattern.to_owned());
    }
    let folder = folder.to_str()?;
    if folder.is_empty() {
        return Some(pattern.to_owned());
    }
    Some(format!("{}/{pattern}", Pattern::escape(folder.trim_end_matches('/'))))
}

/// The files that a pattern matches, sorted. Hidden files, such as an editor's, are not among
/// them unless the pattern says so.
pub(super) fn matches(pattern: &str) -> Vec<PathBuf> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let mut found: Vec<PathBuf> = glob::glob_with(pattern, options)
        .map(|paths| paths.filter_map(Result::ok).filter(|path| path.is_file()).collect())
        .unwrap_or_default();
    found.sort();
    found
}
