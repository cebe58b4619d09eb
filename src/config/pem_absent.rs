//! PEM files in a build without TLS: none can be used.

use std::path::Path;

use super::watch::Contents;

/// Refuses the file, whatever it holds.
pub(super) fn read(_: &Path, _: &str, _: &mut Contents) -> Result<Vec<u8>, String> {
    Err("this program was built without TLS; leave it out, or build with the feature `tls`".into())
}
