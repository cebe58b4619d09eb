//! Certificates for every way in which one can be right or wrong.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::NamedTempFile;

const BEGINNING: Date = Date::constant(1975, 1, 1);
const FAR: Date = Date::constant(4096, 1, 1);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// An authority of a test's own.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::valid_until("tests", FAR)
    }

    /// An authority whose own certificate expires in about `days`.
    pub(crate) fn for_days(days: i64) -> Self {
        Self::named("tests", days)
    }

    /// An authority of that name whose own certificate expires in about `days`.
    pub(crate) fn named(name: &str, days: i64) -> Self {
        Self::valid_until(name, in_days(days))
    }

    fn valid_until(name: &str, end: Date) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        last(&mut params, BEGINNING, end);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `name`, valid now.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        self.issue_until(name, 4096)
    }

    /// A certificate for `name` that was valid until the start of `year`.
    pub(crate) fn issue_until(&self, name: &str, year: i16) -> Identity {
        self.issue_between(name, BEGINNING, Date::constant(year, 1, 1))
    }

    /// A certificate for `name` that is valid between the starts of two days, counted from today.
    pub(crate) fn issue_for_days(&self, name: &str, days: Range<i64>) -> Identity {
        self.issue_between(name, in_days(days.start), in_days(days.end))
    }

    fn issue_between(&self, name: &str, start: Date, end: Date) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        last(&mut params, start, end);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { cert, key: key.serialize_pem() }
    }
}

/// A certificate for `name` that only itself vouches for; as an authority's, the way OpenSSL makes
/// them by default, or not.
pub(crate) fn self_signed(name: &str, is_ca: IsCa) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// The day that comes `days` after today, in UTC.
fn in_days(days: i64) -> Date {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_add(days.days()).unwrap()
}

/// Has a certificate last from the start of one day to the start of another.
fn last(params: &mut CertificateParams, start: Date, end: Date) {
    let [start, end] = [start, end].map(|day| {
        let [month, day_of_month] = [day.month(), day.day()].map(i8::unsigned_abs);
        date_time_ymd(day.year().into(), month, day_of_month)
    });
    (params.not_before, params.not_after) = (start, end);
}

impl Identity {
    /// Shows the certificate of `authority` as well, as a full chain does.
    pub(crate) fn with(mut self, authority: &Authority) -> Self {
        self.cert += &authority.pem;
        self
    }

    /// A server that shows this certificate, and wants one from `clients` where that is given.
    pub(crate) fn server(&self, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
                roots.add(root).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = CertificateDer::pem_slice_iter(self.cert.as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

/// `text` in a file of its own, which goes with the value.
pub(crate) fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}
