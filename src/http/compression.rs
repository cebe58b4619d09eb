//! Gzip compression for the metrics page and the HTML pages.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Whether answers can be compressed in this build.
pub(super) const AVAILABLE: bool = true;

/// `body` with gzip; `None` where that fails, which memory never does.
///
/// Pages are nearly all repetition: the fastest level already makes them twenty times smaller.
pub(super) fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).ok()
}
