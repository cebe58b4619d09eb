//! Reads and validates the PEM files of a configuration.

use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::watch::Contents;
use crate::model::without_byte_order_mark;

/// Longest PEM file: system bundles of authorities are about 250 KiB.
const MAX_PEM: u64 = 8 * 1024 * 1024;

/// The bytes of a PEM file, known to hold `content`: `certificates` or `key`.
///
/// The error says what is wrong and what would be right, without anything from the file.
pub(super) fn read(path: &Path, content: &str, files: &mut Contents) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_PEM).read_to_end(&mut bytes)).map_err(
        |error| {
            files.missed(path);
            format!("cannot read `{}`: {error}; name a PEM file", path.display())
        },
    )?;
    if bytes.len() as u64 == MAX_PEM {
        files.look(path);
    } else {
        files.saw(path, &bytes);
    }
    let pem = without_byte_order_mark(&bytes);
    let holds = if content == "key" {
        PrivateKeyDer::from_pem_slice(pem).is_ok()
    } else {
        let mut found = CertificateDer::pem_slice_iter(pem).peekable();
        found.peek().is_some() && found.all(|certificate| certificate.is_ok())
    };
    let wanted = if content == "key" { "private key" } else { "certificate" };
    if holds {
        Ok(bytes)
    } else {
        Err(format!("`{}` holds no valid PEM {wanted}; name a PEM file of one", path.display()))
    }
}
