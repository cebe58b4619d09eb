//! Watches the files of a configuration for changes.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use sha2::{Digest as _, Sha256};

type Digest = [u8; 32];

/// All files whose change may change the configuration: the file itself, included files, those of
/// secrets and certificates, and files that match the patterns of `[include]` later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    pub(super) read: Contents,
    pub(super) patterns: Vec<String>,
}

impl Watch {
    /// The files as they are now, sorted, absolute.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let matched = self.patterns.iter().flat_map(|pattern| matches(pattern));
        let mut files: Vec<PathBuf> =
            self.read.0.keys().cloned().chain(matched.map(|path| plain(&path))).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// A digest of the names and contents of these files, links followed: it changes when any of
    /// them changes. A file that cannot be read counts as missing; a pipe or a device counts as
    /// unchanged.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.now(content)
    }

    /// The [`fingerprint`](Self::fingerprint) of exactly the content that was read: as long as it
    /// is equal, reading again gives the same configuration.
    #[must_use]
    pub fn read_fingerprint(&self) -> [u8; 32] {
        self.read.digest()
    }

    /// A digest of the names, sizes, times and inodes of these files; it does not read their
    /// contents.
    ///
    /// It changes whenever a content changes, except for a second write within the same tick of the
    /// file system's clock.
    #[must_use]
    pub fn stamp(&self) -> [u8; 32] {
        self.now(|path| std::fs::metadata(path).ok().map(|file| place_and_time(&file)))
    }

    /// Merges two watches; for files in both, the content read by this one counts.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let new = other.patterns.iter().filter(|pattern| !self.patterns.contains(pattern));
        self.patterns.extend(new.cloned().collect::<Vec<_>>());
        for path in other.files() {
            self.read.look(&path);
        }
        self
    }

    fn now(&self, of: impl Fn(&Path) -> Option<Digest>) -> Digest {
        let found = self.files().into_iter().map(|path| {
            let digest = of(&path);
            (path, digest)
        });
        Contents(found.collect()).digest()
    }
}

/// A digest of each file's content by its path; `None` for a file that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<PathBuf, Option<Digest>>);

impl Contents {
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// Records the content that was read from a file; only the first time counts.
    pub(super) fn saw(&mut self, path: &Path, bytes: &[u8]) {
        let digest = || if is_special(path) { SPECIAL } else { Sha256::digest(bytes).into() };
        self.0.entry(plain(path)).or_insert_with(|| Some(digest()));
    }

    /// Records that a file could not be read.
    pub(super) fn missed(&mut self, path: &Path) {
        self.0.entry(plain(path)).or_insert(None);
    }

    /// Records the current content of a file.
    pub(super) fn look(&mut self, path: &Path) {
        self.0.entry(plain(path)).or_insert_with(|| content(path));
    }

    fn digest(&self) -> Digest {
        let mut all = Sha256::new();
        for (path, content) in &self.0 {
            all.update(Sha256::digest(path.as_os_str().as_encoded_bytes()));
            match content {
                Some(digest) => all.update(digest),
                None => all.update([0]),
            }
        }
        all.finalize().into()
    }
}

/// A path without `.` and doubled slashes, so that equal paths have equal texts.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// No configuration is larger than this, but a device or a log that was named by mistake may be.
const MAX_READ: u64 = 64 * 1024 * 1024;

/// Stands for the content of a pipe or a device, which can be read only once.
const SPECIAL: Digest = [1; 32];

fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir())
}

fn content(path: &Path) -> Option<Digest> {
    use std::io::Read as _;

    // Opening a pipe blocks until another process opens it for writing.
    if is_special(path) {
        return Some(SPECIAL);
    }
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_READ).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(bytes).into())
}

fn place_and_time(file: &Metadata) -> Digest {
    let mut hash = Sha256::new();
    for number in [file.dev(), file.ino(), file.size(), u64::from(file.mode())] {
        hash.update(number.to_be_bytes());
    }
    for number in [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()] {
        hash.update(number.to_be_bytes());
    }
    hash.finalize().into()
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
