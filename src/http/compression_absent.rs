//! Stand-in for a build without the feature `compression`: answers are not compressed.

/// Whether answers can be compressed in this build.
pub(super) const AVAILABLE: bool = false;

/// Always `None`: compression is not compiled in.
pub(super) fn gzip(_: &[u8]) -> Option<Vec<u8>> {
    None
}
