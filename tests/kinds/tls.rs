//! The `tls` kind.

use std::sync::Arc;

use jiff::Timestamp;
use opentelemetry::trace::Status;
use rcgen::IsCa;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;
use vitalsign::{Outcome, Reason, Run};

use super::{Subject, contract_suite};
use crate::support::certs::{Authority, Identity, file, self_signed};
use crate::support::checks::{PATIENT, ask, check, errors, failure, figure, run};
use crate::support::peer::{self, Peer, Script};
use crate::support::spans::{Spans, attribute, events};

const FIGURE: &str = "tls_certificate_not_after_timestamp_seconds";
const WARN_BEFORE: &str = "tls_certificate_warn_before_seconds";
const UNUSED: &str = "tls_certificate_unused_not_after_timestamp_seconds";

const DAY: f64 = 86_400.0;

/// Does the server's part of a handshake over each connection, and no more.
fn shaking(config: Arc<ServerConfig>) -> Script {
    let acceptor = TlsAcceptor::from(config);
    Arc::new(move |wire| {
        let acceptor = acceptor.clone();
        Box::pin(async move { Some(Box::new(acceptor.accept(wire).await.ok()?) as _) })
    })
}

fn subject() -> Subject {
    Subject {
        kind: "tls",
        options: |address| format!("address = '{address}'\ntls.insecure = true"),
        healthy: shaking(self_signed("orders", IsCa::NoCa).server(None)),
        // The start of a record of 16 KiB with the start of a message in it.
        trickled: b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03",
        // A message of 16 MiB, of which each record brings 256 bytes.
        endless: peer::endless(b"\x16\x03\x03\x00\x04\x02\xff\xff\xff", &RECORD),
        denying: None,
        garbage: Reason::TlsFailed,
    }
}

const RECORD: [u8; 261] = {
    let mut record = [0; 261];
    [record[0], record[1], record[2], record[3]] = [0x16, 3, 3, 1];
    record
};

contract_suite! { subject:
    healthy as a_healthy_peer_is_a_success_and_each_run_closes_its_connection,
    refused as a_refused_connection_is_told_with_its_address,
    silent as a_silent_peer_is_left_at_the_deadline,
    trickle as a_handshake_byte_by_byte_is_left_at_the_deadline,
    cancelled_span as a_cancelled_run_ends_its_span_as_a_timeout,
    garbage as an_answer_in_no_protocol_is_told_apart,
    closed_early as a_peer_that_closes_at_once_is_a_reset_connection,
    oversized as a_handshake_without_end_is_too_large,
}

/// A file with the authority, and the options that trust it and ask `localhost` at this port.
fn trusting(authority: &Authority, peer: &Peer) -> (NamedTempFile, String) {
    let ca = file(&authority.pem);
    let port = peer.address.port();
    let options = format!("address = 'localhost:{port}'\ntls.ca = '{}'\n", ca.path().display());
    (ca, options)
}

/// What the engine makes of a server with this certificate, asked with further options.
async fn shown(authority: &Authority, identity: Identity, more: &str) -> Run {
    let peer = Peer::start(shaking(identity.server(None))).await;
    let (_ca, options) = trusting(authority, &peer);
    run(check("tls", &(options + more))).await
}

/// The start of the day that comes `days` after today, in Unix time.
fn in_days(days: i64) -> f64 {
    let today = Timestamp::now().as_second() / 86_400;
    ((today + days) * 86_400) as f64
}

#[tokio::test]
async fn a_certificate_that_lasts_is_a_success_with_its_end_as_a_figure() {
    let authority = Authority::new();
    let run = shown(&authority, authority.issue_for_days("localhost", -1..20), "").await;
    assert_eq!((run.outcome, &run.message), (Outcome::Success, &None));
    assert_eq!(figure(&run, FIGURE), Some(in_days(20)));
}

#[tokio::test]
async fn a_certificate_near_its_end_is_a_warning_that_says_how_many_days_are_left() {
    let authority = Authority::new();
    let identity = || authority.issue_for_days("localhost", -30..10);
    let run = shown(&authority, identity(), "").await;
    assert_eq!(run.outcome, Outcome::Warning);
    let message = run.message.as_deref().expect("a caveat");
    assert!(message.contains(" expires in 9 days ("), "{message}");
    assert_eq!(figure(&run, FIGURE), Some(in_days(10)));
    let run = shown(&authority, identity(), "warn_before = '9d'").await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
}

#[tokio::test]
async fn a_warning_begins_in_the_last_third_of_a_lifetime_and_at_most_two_weeks_before_its_end() {
    let authority = Authority::new();
    for (days, more, warn_before, outcome) in [
        (-1..2, "", DAY, Outcome::Success),
        (-2..1, "", DAY, Outcome::Warning),
        (-1..5, "", 2.0 * DAY, Outcome::Success),
        (-60..30, "", 14.0 * DAY, Outcome::Success),
        (-80..10, "", 14.0 * DAY, Outcome::Warning),
        (-1..365, "", 14.0 * DAY, Outcome::Success),
        // What was configured wins, whether it is shorter or longer.
        (-2..1, "warn_before = '1h'", 3600.0, Outcome::Success),
        (-1..365, "warn_before = '400d'", 400.0 * DAY, Outcome::Warning),
    ] {
        let run =
            shown(&authority, authority.issue_for_days("localhost", days.clone()), more).await;
        assert_eq!(run.outcome, outcome, "{days:?} {more}: {:?}", run.message);
        assert_eq!(figure(&run, WARN_BEFORE), Some(warn_before), "{days:?} {more}");
        assert_eq!(figure(&run, UNUSED), None);
    }
}

#[test]
fn every_kind_that_reports_the_end_of_a_certificate_reports_when_to_renew_it() {
    for kind in vitalsign::checks::KINDS {
        let reports = |figure| kind.measurements.iter().any(|m| m.name == figure);
        for figure in [WARN_BEFORE, UNUSED] {
            assert_eq!(reports(figure), reports(FIGURE), "{} and {figure}", kind.name);
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_that_the_chain_does_not_need_is_a_figure_of_its_own() {
    let (authority, old) = (Authority::new(), Authority::named("old", -3));
    let identity = authority.issue_for_days("localhost", -1..90).with(&old);
    let run = shown(&authority, identity, "").await;
    assert_eq!((run.outcome, &run.message), (Outcome::Success, &None));
    assert_eq!(figure(&run, FIGURE), Some(in_days(90)));
    assert_eq!(figure(&run, UNUSED), Some(in_days(-3)));
}

#[tokio::test]
async fn the_first_of_the_chain_to_expire_counts() {
    let authority = Authority::for_days(3);
    let identity = authority.issue_for_days("localhost", -1..90).with(&authority);
    let run = shown(&authority, identity, "").await;
    assert_eq!(run.outcome, Outcome::Warning);
    let message = run.message.as_deref().expect("a caveat");
    assert!(message.starts_with("a certificate in the chain of localhost:"), "{message}");
    assert!(message.contains(" expires in 2 days ("), "{message}");
    assert_eq!(figure(&run, FIGURE), Some(in_days(3)));
}

#[tokio::test]
async fn a_certificate_out_of_its_time_fails_with_its_end_as_a_figure() {
    let authority = Authority::new();
    for days in [-20..-10, 5..20] {
        for insecure in [false, true] {
            let identity = authority.issue_for_days("localhost", days.clone());
            let peer = Peer::start(shaking(identity.server(None))).await;
            let (_ca, mut options) = trusting(&authority, &peer);
            if insecure {
                options = (subject().options)(peer.address);
            }
            let run = run(check("tls", &options)).await;
            assert_eq!(run.outcome, Outcome::Failure, "{days:?} {insecure}");
            assert_eq!(run.reason, Some(Reason::TlsExpired), "{:?}", run.message);
            assert_eq!(figure(&run, FIGURE), Some(in_days(days.end)), "{days:?} {insecure}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_still_shows_its_end() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = || authority.issue_for_days("localhost", -1..30);
    let untrusted = shown(&other, identity(), "").await;
    assert_eq!(untrusted.reason, Some(Reason::TlsUntrusted), "{:?}", untrusted.message);
    let misnamed = shown(&authority, identity(), "tls.server_name = 'orders'").await;
    assert_eq!(misnamed.reason, Some(Reason::TlsNameMismatch), "{:?}", misnamed.message);
    for run in [untrusted, misnamed] {
        assert_eq!(figure(&run, FIGURE), Some(in_days(30)));
    }
}

#[tokio::test]
async fn the_span_tells_what_was_agreed_and_how_long_the_certificate_lasts() {
    let authority = Authority::new();
    let server = authority.issue_until("localhost", 2099).server(None);
    let peer = Peer::start(shaking(server)).await;
    let (_ca, options) = trusting(&authority, &peer);
    let (spans, _guard) = Spans::record();
    ask(&*check("tls", &options), PATIENT).await.expect("it is trusted");
    let span = spans.only();
    assert_eq!(span.name, "tls handshake");
    assert_eq!(events(&span), ["resolve", "connect", "tls"]);
    assert_eq!(span.status, Status::Unset);
    let port = peer.address.port().to_string();
    for (key, value) in [
        ("server.address", "localhost"),
        ("server.port", &port),
        ("network.transport", "tcp"),
        ("network.peer.address", "127.0.0.1"),
        ("tls.protocol.name", "tls"),
        ("tls.protocol.version", "1.3"),
        ("tls.server.not_before", "1975-01-01T00:00:00Z"),
        ("tls.server.not_after", "2099-01-01T00:00:00Z"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn an_older_version_than_wanted_fails_though_it_was_an_answer() {
    let authority = Authority::new();
    let identity = authority.issue("localhost");
    let chain = vec![pem(&identity.cert)];
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(identity.key.as_bytes()).unwrap();
    let old = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let peer = Peer::start(shaking(Arc::new(old))).await;
    let (_ca, options) = trusting(&authority, &peer);
    ask(&*check("tls", &options), PATIENT).await.expect("1.2 will do by default");
    let (spans, _guard) = Spans::record();
    let failure = failure("tls", &format!("{options}min_version = '1.3'")).await;
    assert_eq!(failure.reason(), Reason::TlsFailed, "{}", failure.message());
    assert!(failure.message().ends_with(" speaks TLS 1.2, older than `min_version`"));
    let span = spans.only();
    assert_eq!(attribute(&span, "tls.protocol.version").as_deref(), Some("1.2"));
    assert_eq!(span.status, Status::Unset);
}

fn pem(text: &str) -> rustls::pki_types::CertificateDer<'static> {
    rustls::pki_types::pem::PemObject::from_pem_slice(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn http_over_tls_has_the_same_figure_also_over_a_kept_connection() {
    let authority = Authority::new();
    let server = authority.issue_for_days("localhost", -1..40).server(None);
    let peer = Peer::https(server, |_| peer::http_answer("200 OK", "", "")).await;
    let ca = file(&authority.pem);
    let url = format!("url = 'https://localhost:{}'", peer.address.port());
    let check = check("http", &format!("{url}\nreuse = true\ntls.ca = '{}'", ca.path().display()));
    for _ in 1..=2 {
        let run = run(Arc::clone(&check)).await;
        assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
        assert_eq!(figure(&run, FIGURE), Some(in_days(40)));
        assert_eq!(figure(&run, WARN_BEFORE), Some((41.0 * DAY / 3.0).floor()));
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_host_that_a_redirect_leads_to_is_no_figure_of_the_dependency() {
    let authority = Authority::new();
    let [near, far] = [50, 60].map(|days| {
        let identity = authority.issue_for_days("localhost", -1..days);
        identity.server(None)
    });
    let away = Peer::https(near, |_| peer::http_answer("200 OK", "", "")).await;
    let location = format!("Location: https://localhost:{}/\r\n", away.address.port());
    let start = Peer::https(far, move |_| peer::http_answer("302 Found", &location, "")).await;
    let ca = file(&authority.pem);
    let url = format!("url = 'https://localhost:{}'", start.address.port());
    let more = format!("follow_redirects = true\ntls.ca = '{}'", ca.path().display());
    let run = run(check("http", &format!("{url}\n{more}"))).await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert_eq!(figure(&run, FIGURE), Some(in_days(60)));
    assert_eq!(away.accepted(), 1);
}

#[test]
fn every_option_that_is_wrong_is_told() {
    let errors = errors("tls", "address = 'db'\ntls = false");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("address: the port is missing; write "), "{errors:?}");
    assert!(errors[1].starts_with("tls: TLS is what this kind asks for; "), "{errors:?}");
}
