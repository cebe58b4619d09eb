//! The expiry of a peer's certificates, as measurements.

use std::time::Duration;

use opentelemetry_semantic_conventions::attribute as semconv;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::engine::check::Context;
use crate::model::Measurement;

pub(crate) static NOT_AFTER: Measurement = Measurement {
    name: "tls_certificate_not_after_timestamp_seconds",
    help: "When the first certificate of the chain that the peer shows expires, in Unix time.",
};

pub(crate) static WARN_BEFORE: Measurement = Measurement {
    name: "tls_certificate_warn_before_seconds",
    help: "How long before the expiry of the chain the check warns: `warn_before`, or a third of the lifetime of the peer's own certificate, at most 14 days.",
};

pub(crate) static UNUSED_NOT_AFTER: Measurement = Measurement {
    name: "tls_certificate_unused_not_after_timestamp_seconds",
    help: "Earliest expiry among the certificates that the peer sends but that are not part of the verified chain, in Unix time; absent if there are none.",
};

/// Longest time before the end of a certificate at which a warning begins by default.
const LONGEST_WARNING: Duration = Duration::from_hours(14 * 24);

/// The times of the certificates that a peer has shown: Unix time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// When the peer's own certificate becomes valid.
    pub(crate) not_before: i64,
    /// When the peer's own certificate expires.
    pub(crate) not_after: i64,
    /// When the first certificate of the chain expires.
    pub(crate) earliest: i64,
    /// When the first of those expires that the chain does not need.
    unused: Option<i64>,
}

impl Chain {
    /// The chain of `own`, the certificates `between`, and an authority that expires at `root`.
    pub(super) fn of_path(
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        between: &[CertificateDer<'_>],
        root: Option<i64>,
    ) -> Option<Self> {
        let (not_before, not_after) = validity(&parse(own)?);
        let end = |certificate| parse(certificate).map(|read| validity(&read).1);
        let needed = between.iter().filter_map(end).chain(root);
        let unused = others.iter().filter(|other| !between.contains(other) && *other != own);
        // A root that is sent along is part of the chain, though a client has its own copy.
        let unused = unused.filter_map(end).filter(|end| root != Some(*end));
        Some(Self {
            not_before,
            not_after,
            earliest: needed.fold(not_after, i64::min),
            unused: unused.min(),
        })
    }

    /// The chain that leads from `own` to the certificate of its issuer among `others`, and so on.
    ///
    /// A certificate among `others` that cannot be read is ignored.
    pub(super) fn by_names(
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Option<Self> {
        let own = parse(own)?;
        let mut others: Vec<_> = others.iter().filter_map(parse).collect();
        let (not_before, not_after) = validity(&own);
        let (mut earliest, mut last) = (not_after, own);
        while let Some(next) = others.iter().position(|c| c.subject() == last.issuer()) {
            last = others.swap_remove(next);
            earliest = earliest.min(validity(&last).1);
        }
        let unused = others.iter().map(|other| validity(other).1).min();
        Some(Self { not_before, not_after, earliest, unused })
    }

    /// Default time before the expiry of the chain at which the warning begins.
    ///
    /// Some authorities issue certificates that live for hours or days, so it is a share of the
    /// lifetime: such a certificate is well while most of its life is left.
    pub(crate) fn warn_before(&self) -> Duration {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        let third = u64::try_from(lifetime / 3).unwrap_or_default();
        Duration::from_secs(third).min(LONGEST_WARNING)
    }

    /// Records the figures of the run, and the times of the peer's own certificate on its span.
    pub(super) fn note(&self, cx: &Context, warn_before: Option<Duration>) {
        self.measure(cx, warn_before);
        for (key, time) in [
            (semconv::TLS_SERVER_NOT_BEFORE, self.not_before),
            (semconv::TLS_SERVER_NOT_AFTER, self.not_after),
        ] {
            if let Some(text) = date(time) {
                cx.attribute(key, text);
            }
        }
    }

    /// Records the figures of the run alone; `warn_before` is the one that was configured.
    pub(crate) fn measure(&self, cx: &Context, warn_before: Option<Duration>) {
        cx.measure(&NOT_AFTER, self.earliest as f64);
        let warn_before = warn_before.unwrap_or_else(|| self.warn_before());
        cx.measure(&WARN_BEFORE, warn_before.as_secs_f64());
        if let Some(unused) = self.unused {
            cx.measure(&UNUSED_NOT_AFTER, unused as f64);
        }
    }
}

/// A time as RFC 3339, where the calendar reaches that far.
pub(crate) fn date(time: i64) -> Option<String> {
    jiff::Timestamp::from_second(time).ok().map(|time| time.to_string())
}

pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate)
}

fn validity(certificate: &X509Certificate<'_>) -> (i64, i64) {
    let validity = certificate.validity();
    (validity.not_before.timestamp(), validity.not_after.timestamp())
}
