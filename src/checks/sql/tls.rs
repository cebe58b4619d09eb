//! The `tls` option of the SQL kinds, as far as their driver can do it.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ConfigPath, OptionError, Tls, TlsOptions};
use crate::model::without_byte_order_mark;

/// What the `tls` option asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsChoice {
    /// Nothing was said: as the URL has it.
    AsUrl,
    /// None.
    Off,
    /// TLS with any certificate.
    Unverified(ClientCertificate),
    /// TLS with a certificate that is verified for the host's name, by these authorities too.
    Verified(Option<Vec<u8>>, ClientCertificate),
}

/// The client certificate's chain and its key, in PEM.
pub(crate) type ClientCertificate = Option<(Vec<u8>, Vec<u8>)>;

impl TlsChoice {
    /// Reads the option; `in_url` is the mode that the URL has already set, if it did.
    pub(crate) fn read(tls: Option<Tls>, in_url: bool, errors: &mut Vec<OptionError>) -> Self {
        let Some(Tls(choice)) = tls else { return Self::AsUrl };
        if in_url {
            errors.push(OptionError::new("tls", "the url sets TLS too; say it in one of the two"));
        }
        let Some(options) = choice else { return Self::Off };
        if options.server_name.is_some() {
            errors.push(OptionError::new(
                "tls.server_name",
                "this kind cannot verify another name than the url's host; leave it out and put \
                 the name of the certificate into the url",
            ));
        }
        let client = client_certificate(&options, errors);
        let TlsOptions { ca, insecure, .. } = options;
        if insecure {
            if ca.is_some() {
                errors.push(OptionError::new("tls.ca", "insecure verifies nothing; drop one"));
            }
            return Self::Unverified(client);
        }
        let ca = ca.and_then(|ca| read_file("tls.ca", &ca.0, has_certificate, errors));
        Self::Verified(ca, client)
    }
}

fn client_certificate(options: &TlsOptions, errors: &mut Vec<OptionError>) -> ClientCertificate {
    let (path, message) = match (&options.cert, &options.key) {
        (Some(ConfigPath(cert)), Some(ConfigPath(key))) => {
            let cert = read_file("tls.cert", cert, has_certificate, errors);
            let is_key = |pem: &[u8]| PrivateKeyDer::from_pem_slice(pem).is_ok();
            return cert.zip(read_file("tls.key", key, is_key, errors));
        }
        (None, None) => return None,
        (Some(_), None) => ("tls.cert", "it needs its private key in tls.key"),
        (None, Some(_)) => ("tls.key", "it needs its certificate in tls.cert"),
    };
    errors.push(OptionError::new(path, message));
    None
}

fn has_certificate(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem).next().is_some_and(|first| first.is_ok())
}

/// Reads a file, and reports one that cannot be read or does not hold what it should.
fn read_file(
    option: &str,
    path: &Path,
    holds: impl Fn(&[u8]) -> bool,
    errors: &mut Vec<OptionError>,
) -> Option<Vec<u8>> {
    let read = std::fs::read(path).map(|pem| without_byte_order_mark(&pem).to_vec());
    let message = match read {
        Ok(pem) if holds(&pem) => return Some(pem),
        Ok(_) => format!("{} holds no such thing in PEM form", path.display()),
        Err(error) => format!("cannot read {}: {error}", path.display()),
    };
    errors.push(OptionError::new(option, message));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tls: &str, in_url: bool) -> (TlsChoice, Vec<String>) {
        #[derive(serde::Deserialize)]
        struct Holder {
            tls: Tls,
        }
        let holder: Holder = toml::from_str(&format!("tls = {tls}")).expect("tls options");
        let mut errors = Vec::new();
        let choice = TlsChoice::read(Some(holder.tls), in_url, &mut errors);
        (choice, errors.into_iter().map(|e| e.path).collect())
    }

    #[test]
    fn tls_that_is_asked_for_verifies_unless_told_otherwise() {
        assert_eq!(read("true", false), (TlsChoice::Verified(None, None), vec![]));
        assert_eq!(read("false", false), (TlsChoice::Off, vec![]));
        assert_eq!(read("{ insecure = true }", false), (TlsChoice::Unverified(None), vec![]));
        assert_eq!(TlsChoice::read(None, true, &mut vec![]), TlsChoice::AsUrl);
    }

    #[test]
    fn what_the_driver_cannot_do_is_refused() {
        let refused = |tls| read(tls, false).1;
        assert_eq!(refused("{ server_name = \"db\" }"), ["tls.server_name"]);
        assert_eq!(refused("{ cert = \"c.pem\" }"), ["tls.cert"]);
        assert_eq!(refused("{ key = \"k.pem\" }"), ["tls.key"]);
        assert_eq!(refused("{ insecure = true, ca = \"ca.pem\" }"), ["tls.ca"]);
        assert_eq!(refused("{ ca = \"/nonexistent/ca.pem\" }"), ["tls.ca"]);
        assert_eq!(read("true", true).1, ["tls"]);
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let tls = format!("{{ ca = {:?} }}", file.path());
        assert_eq!(read(&tls, false).1, ["tls.ca"]);
    }
}
