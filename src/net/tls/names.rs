//! Checks a pinned certificate, one that `tls.ca` names itself: whether it is valid now, and for a
//! name.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;

use super::chain::parse;
use super::limits::of_path;

/// Whether `own`, which `tls.ca` names, is valid at `now` and for `name`, where a name is asked for.
///
/// Such certificates are often made by hand, without the extension for alternative names. Their
/// common name counts then, as it does for OpenSSL.
pub(super) fn named_itself(
    own: &CertificateDer<'_>,
    name: Option<&ServerName<'_>>,
    now: UnixTime,
) -> Result<(), Error> {
    let read = parse(own).ok_or(CertificateError::BadEncoding)?;
    let validity = read.validity();
    let [start, end] = [validity.not_before, validity.not_after]
        .map(|time| UnixTime::since_unix_epoch(Duration::from_secs(seconds(time.timestamp()))));
    if now > end {
        return Err(CertificateError::ExpiredContext { time: now, not_after: end }.into());
    }
    if now < start {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: start }.into());
    }
    let Some(name) = name else { return Ok(()) };
    let alternative = read.subject_alternative_name();
    if matches!(alternative, Ok(None)) {
        if has_common_name(&read, name) {
            return Ok(());
        }
        let presented = common_names(&read).map(str::to_owned).collect();
        let expected = name.to_owned();
        return Err(CertificateError::NotValidForNameContext { expected, presented }.into());
    }
    webpki::EndEntityCert::try_from(own)
        .and_then(|own| own.verify_is_valid_for_subject_name(name))
        .map_err(|error| of_path(error, own, &[]))
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

fn common_names<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok())
}

/// Whether a common name of `certificate` is `name`, or has an asterisk for its first label.
fn has_common_name(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let name = name.to_str();
    let rest = name.split_once('.').map(|(_, rest)| rest);
    common_names(certificate).any(|common| {
        common.eq_ignore_ascii_case(&name)
            || common
                .strip_prefix("*.")
                .zip(rest)
                .is_some_and(|(wild, rest)| wild.contains('.') && wild.eq_ignore_ascii_case(rest))
    })
}
