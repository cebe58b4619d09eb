//! A build without the feature `compression`: answers go out as they are.

/// Whether answers can be compressed in this build.
pub(super) const AVAILABLE: bool = false;

/// Nothing; nobody asks where compression is not available.
pub(super) fn gzip(_: &[u8]) -> Option<Vec<u8>> {
    None
}
