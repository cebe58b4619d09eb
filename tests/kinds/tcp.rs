//! The `tcp` kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::IsCa;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vitalsign::Reason;

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file, self_signed};
use crate::support::checks::{PATIENT, ask, check, errors, failure};
use crate::support::peer::{self, Peer, Script};
use crate::support::spans::{Spans, attribute, events};

fn subject() -> Subject {
    Subject {
        kind: "tcp",
        options: |address| {
            format!("address = '{address}'\nsend = '{SECRET}'\nexpect.regex = '^\\+PONG'")
        },
        healthy: peer::answering("+PONG\r\n"),
        trickled: b"+PON",
        endless: peer::endless(b"-", &[b'a'; 1000]),
        denying: None,
        garbage: Reason::UnexpectedBody,
    }
}

contract_suite!(subject);

#[tokio::test]
async fn connecting_is_enough_where_nothing_is_expected() {
    let peer = Peer::start(peer::silent()).await;
    let (spans, _guard) = Spans::record();
    let check = check("tcp", &format!("address = '{}'", peer.address));
    ask(&*check, PATIENT).await.expect("it connects");
    let span = spans.only();
    assert_eq!(span.name, "tcp connect");
    assert_eq!(events(&span), ["connect"]);
    let port = peer.address.port().to_string();
    for (key, value) in [
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("network.transport", "tcp"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_port_that_speaks_mysql_is_left_by_a_login_that_it_refuses() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let mysql: Script = Arc::new(move |mut wire| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            wire.write_all(b"\x4a\0\0\0\x0a8.0.36\0rest").await.ok()?;
            let mut login = vec![0; 256];
            let length = wire.read(&mut login).await.ok()?;
            if login[..length].windows(10).any(|part| part == b"vitalsign\0") {
                count.fetch_add(1, Ordering::Relaxed);
            }
            wire.write_all(b"\x05\0\0\x02\xff\x15\x04no").await.ok()?;
            Some(wire)
        })
    });
    let peer = Peer::start(mysql).await;
    let options = format!("address = '{}'", peer.address);
    let connecting = check("tcp", &options);
    for asked in 1..=2 {
        ask(&*connecting, PATIENT).await.expect("it connects");
        peer.has_seen_closed(asked).await;
    }
    let expecting = check("tcp", &format!("{options}\nexpect.regex = '8\\.0'"));
    ask(&*expecting, PATIENT).await.expect("it is found");
    peer.has_seen_closed(3).await;
    assert_eq!(logins.load(Ordering::Relaxed), 3);
}

#[test]
fn a_check_of_the_port_of_mysql_has_a_caveat() {
    let caveat = |port: u16| check("tcp", &format!("address = 'db:{port}'")).caveat();
    assert_eq!(caveat(3307), None);
    let text = caveat(3306).expect("a warning");
    assert!(
        text.contains("max_connect_errors") && text.ends_with("use the kind `mysql`"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_may_come_in_pieces() {
    let peer = Peer::start(peer::trickling(b"220 mail ready")).await;
    let options =
        format!("address = '{}'\nsend = 'x'\nexpect.regex = '(?m)^220 .*y'", peer.address);
    let (spans, _guard) = Spans::record();
    ask(&*check("tcp", &options), PATIENT).await.expect("it is found");
    assert_eq!(events(&spans.only()), ["connect", "request", "transfer"]);
    peer.has_seen_closed(1).await;
}

#[tokio::test]
async fn an_answer_without_what_is_expected_was_an_answer() {
    let peer = Peer::start(peer::answering_once("-ERR\r\n")).await;
    let options = format!("address = '{}'\nsend = 'x'\nexpect.regex = 'PONG'", peer.address);
    let (spans, _guard) = Spans::record();
    assert_eq!(failure("tcp", &options).await.reason(), Reason::UnexpectedBody);
    assert_eq!(attribute(&spans.only(), "error.type"), None);
}

#[tokio::test]
async fn an_ipv6_address_is_asked() {
    let peer = Peer::start_v6(peer::silent()).await;
    let check = check("tcp", &format!("address = '[::1]:{}'", peer.address.port()));
    ask(&*check, PATIENT).await.expect("it connects");
    assert_eq!(check.server().expect("an address").address, "::1");
}

#[tokio::test]
async fn localhost_is_asked_on_whichever_loopback_address_listens() {
    for peer in [Peer::start(peer::silent()).await, Peer::start_v6(peer::silent()).await] {
        let check = check("tcp", &format!("address = 'localhost:{}'", peer.address.port()));
        ask(&*check, PATIENT).await.expect("it connects");
    }
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_not_connected_to() {
    // RFC 6761, section 6.4: no name server knows names under `invalid`.
    let options = "address = 'nowhere.invalid:80'";
    let failure = ask(&*check("tcp", options), PATIENT).await.expect_err("there is none");
    let reason = failure.reason();
    assert!(matches!(reason, Reason::DnsNotFound | Reason::DnsFailed), "{}", failure.message());
    assert!(failure.message().contains("nowhere.invalid"), "{}", failure.message());
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let server = authority.issue("localhost").server(None);
    let peer = Peer::start_tls(server, peer::answering("+PONG\r\n")).await;
    let ca = file(&authority.pem);
    let address = format!("address = 'localhost:{}'\nsend = 'x'\n", peer.address.port());
    let trusting = format!("tls.ca = '{}'\nexpect.regex = 'PONG'", ca.path().display());
    let (spans, _guard) = Spans::record();
    ask(&*check("tcp", &(address.clone() + &trusting)), PATIENT).await.expect("it is trusted");
    assert_eq!(events(&spans.only()), ["resolve", "connect", "tls", "request", "transfer"]);
    let other = self_signed("other", IsCa::NoCa);
    let ca = file(&other.cert);
    let strict = format!("{address}tls.ca = '{}'", ca.path().display());
    assert_eq!(failure("tcp", &strict).await.reason(), Reason::TlsUntrusted);
}

#[test]
fn every_option_that_is_wrong_is_told() {
    let wrong = "address = 'db'\nexpect.regex = '('\ntls = { ca = '/nowhere/ca.pem' }";
    let errors = errors("tcp", wrong);
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with("address: the port is missing; write "), "{errors:?}");
    assert_eq!(
        errors[1],
        "expect.regex: unclosed group; write a regular expression of the regex crate"
    );
    assert!(errors[2].starts_with("tls.ca: /nowhere/ca.pem cannot be read: No such file"));
}
