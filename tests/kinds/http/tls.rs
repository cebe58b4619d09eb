//! The `http` kind over TLS: which certificates it takes, and which reason it tells otherwise.

use std::sync::Arc;

use rcgen::{BasicConstraints, IsCa};
use rustls::ServerConfig;
use tempfile::NamedTempFile;
use vitalsign::{Failure, Reason};

use crate::support::certs::{Authority, file, self_signed};
use crate::support::checks::{PATIENT, ask, check, errors};
use crate::support::peer::{self, Peer, http_answer};
use crate::support::spans::{Spans, attribute, events};

fn path(file: &NamedTempFile) -> std::path::Display<'_> {
    file.path().display()
}

/// Asks an HTTPS server of this configuration with these `tls` options.
async fn ask_tls(server: Arc<ServerConfig>, host: &str, tls: &str) -> Result<(), Failure> {
    let peer = Peer::https(server, |_| http_answer("200 OK", "", "")).await;
    let port = peer.address.port();
    let options = format!("url = 'https://{host}:{port}/'\ntls = {{ {tls} }}");
    ask(&*check("http", &options), PATIENT).await.map(drop)
}

async fn reason(server: Arc<ServerConfig>, host: &str, tls: &str) -> Reason {
    ask_tls(server, host, tls).await.expect_err("it is not trusted").reason()
}

#[tokio::test]
async fn a_certificate_of_a_configured_authority_is_trusted() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let tls = format!("ca = '{}'", path(&ca));
    let (spans, _guard) = Spans::record();
    let server = authority.issue("localhost").server(None);
    ask_tls(server, "localhost", &tls).await.expect("it is trusted");
    let span = spans.only();
    assert_eq!(events(&span), ["resolve", "connect", "tls", "request", "transfer"]);
    assert!(attribute(&span, "url.full").is_some_and(|url| url.starts_with("https://localhost:")));
    let server = authority.issue("127.0.0.1").server(None);
    ask_tls(server, "127.0.0.1", &tls).await.expect("an address is trusted as well");
}

#[tokio::test]
async fn each_way_of_being_wrong_has_its_reason() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let tls = format!("ca = '{}'", path(&ca));
    let expired = authority.issue_until("localhost", 2020).server(None);
    assert_eq!(reason(expired, "localhost", &tls).await, Reason::TlsExpired);
    let other = authority.issue("orders.example").server(None);
    assert_eq!(reason(other, "localhost", &tls).await, Reason::TlsNameMismatch);
    let stranger = Authority::new().issue("localhost").server(None);
    assert_eq!(reason(stranger, "localhost", &tls).await, Reason::TlsUntrusted);
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let own = self_signed("localhost", is_ca).server(None);
        assert_eq!(reason(own, "localhost", &tls).await, Reason::TlsUntrusted);
    }
}

#[tokio::test]
async fn every_run_is_shown_the_certificate() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let server = authority.issue("localhost").server(None);
    let peer = Peer::https(server, |_| http_answer("200 OK", "", "")).await;
    let (port, ca) = (peer.address.port(), path(&ca));
    let check = check("http", &format!("url = 'https://localhost:{port}'\ntls.ca = '{ca}'"));
    for _ in 0..3 {
        ask(&*check, PATIENT).await.expect("it is trusted");
    }
    assert_eq!((peer.accepted(), peer.resumed()), (3, 0));
}

#[tokio::test]
async fn the_systems_authorities_are_the_default() {
    let Some(_) = rustls_native_certs::load_native_certs().certs.first() else {
        let told = errors("http", "url = 'https://db'");
        assert!(told[0].starts_with("tls.ca: this system has no authorities to trust; "));
        return;
    };
    let server = Authority::new().issue("localhost").server(None);
    assert_eq!(reason(server, "localhost", "").await, Reason::TlsUntrusted);
}

#[tokio::test]
async fn insecure_takes_any_certificate() {
    let expired = Authority::new().issue_until("other", 2020).server(None);
    ask_tls(expired, "localhost", "insecure = true").await.expect("anything goes");
    let own = self_signed("other", IsCa::Ca(BasicConstraints::Unconstrained)).server(None);
    ask_tls(own, "127.0.0.1", "insecure = true").await.expect("anything goes");
}

#[tokio::test]
async fn another_name_may_be_asked_for() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let tls = format!("ca = '{}', server_name = 'orders.example'", path(&ca));
    let server = || authority.issue("orders.example").server(None);
    ask_tls(server(), "127.0.0.1", &tls).await.expect("it has that name");
    let tls = tls.replace("orders", "others");
    assert_eq!(reason(server(), "127.0.0.1", &tls).await, Reason::TlsNameMismatch);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = || authority.issue("localhost").server(Some(&clients));
    let ca = file(&authority.pem);
    let client = clients.issue("vitalsign");
    let (cert, key) = (file(&client.cert), file(&client.key));
    let without = format!("ca = '{}'", path(&ca));
    let with = format!("{without}, cert = '{}', key = '{}'", path(&cert), path(&key));
    ask_tls(server(), "localhost", &with).await.expect("it is known");
    assert_eq!(reason(server(), "localhost", &without).await, Reason::TlsFailed);
}

#[tokio::test]
async fn a_client_certificate_is_not_shown_to_another_host() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ca = file(&authority.pem);
    let client = clients.issue("vitalsign");
    let (cert, key) = (file(&client.cert), file(&client.key));
    let wanting = authority.issue("localhost").server(Some(&clients));
    let away = Peer::https(wanting, |_| http_answer("200 OK", "", "")).await;
    let location = format!("Location: https://localhost:{}/\r\n", away.address.port());
    let open = authority.issue("localhost").server(None);
    let start = Peer::https(open, move |_| http_answer("302 Found", &location, "")).await;
    let options = format!(
        "url = 'https://localhost:{}'\nfollow_redirects = true\n\
         tls = {{ ca = '{}', cert = '{}', key = '{}' }}",
        start.address.port(),
        path(&ca),
        path(&cert),
        path(&key)
    );
    let failure = ask(&*check("http", &options), PATIENT).await.expect_err("it is not shown");
    assert_eq!(failure.reason(), Reason::TlsFailed, "{}", failure.message());
    assert!(away.requests().is_empty());
}

#[tokio::test]
async fn a_peer_without_tls_fails_the_handshake() {
    let http = Peer::start(peer::answering("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let options = format!("url = 'https://{}'\ntls.insecure = true", http.address);
    let failure = ask(&*check("http", &options), PATIENT).await.expect_err("no handshake");
    assert_eq!(failure.reason(), Reason::TlsFailed, "{}", failure.message());
    http.has_seen_closed(1).await;
}

#[tokio::test]
async fn a_peer_that_hangs_in_the_handshake_is_left_at_the_deadline() {
    let peer = Peer::start(peer::silent()).await;
    let options = format!("url = 'https://{}'\ntls.insecure = true", peer.address);
    let failure = ask(&*check("http", &options), crate::support::checks::SHORT).await;
    assert_eq!(failure.expect_err("no handshake").reason(), Reason::Timeout);
    peer.has_seen_closed(1).await;
}

#[test]
fn files_that_do_not_fit_are_told() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("a"), authority.issue("b"));
    let (cert, key) = (file(&one.cert), file(&other.key));
    let empty = file("no PEM here");
    for (tls, expected) in [
        (format!("ca = '{}'", path(&empty)), "tls.ca: "),
        (format!("cert = '{}', key = '{}'", path(&empty), path(&key)), "tls.cert: "),
        (format!("cert = '{}', key = '{}'", path(&cert), path(&empty)), "tls.key: "),
        (format!("cert = '{}', key = '{}'", path(&cert), path(&key)), "tls.key: "),
        ("server_name = 'a b'".to_owned(), "tls.server_name: "),
    ] {
        let insecure = if tls.starts_with("ca") { "" } else { ", insecure = true" };
        let told = errors("http", &format!("url = 'https://db'\ntls = {{ {tls}{insecure} }}"));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{tls}: {told:?}");
        assert!(told[0].contains("; "), "{told:?}");
    }
}
