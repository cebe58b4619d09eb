//! The `smtp` kind, against aiosmtpd and against peers by a script.

mod exim;
mod replies;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::Status;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file};
use crate::support::checks::{PATIENT, SHORT, ask, check, errors, freeze_and_stop};
use crate::support::peer::{self, Peer, Script};
use crate::support::python::Server;
use crate::support::spans::{Spans, attribute, events};

const HELLO: &str = "220 mail.test ready\r\n";
const FAREWELL: &str = "221 bye\r\n";

/// Says the first of `replies` at once and each of the others after a line; keeps what it heard
/// in `heard`.
fn talking(replies: &[&str], heard: Arc<Mutex<String>>) -> Script {
    let replies: Arc<[String]> = replies.iter().map(|&reply| reply.to_owned()).collect();
    Arc::new(move |mut wire| {
        let (replies, heard) = (Arc::clone(&replies), Arc::clone(&heard));
        Box::pin(async move {
            for (index, reply) in replies.iter().enumerate() {
                let mut line = Vec::new();
                while index > 0 && !line.ends_with(b"\n") {
                    if wire.read_buf(&mut line).await.ok()? == 0 {
                        return None;
                    }
                }
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                wire.write_all(reply.as_bytes()).await.ok()?;
                wire.flush().await.ok()?;
            }
            Some(wire)
        })
    })
}

fn saying(replies: &[&str]) -> Script {
    talking(replies, Arc::default())
}

/// Says `start` at once, a byte at a time, and the letter `a` for ever.
fn trickling(start: &'static [u8]) -> Script {
    Arc::new(move |mut wire| {
        Box::pin(async move {
            for byte in start.iter().chain(std::iter::repeat(&b'a')) {
                wire.write_all(&[*byte]).await.ok()?;
                // The pace is the point: each byte comes well within any timeout for a read.
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            None
        })
    })
}

/// Says `start` at once, and `more` for ever.
fn endless(start: &'static [u8], more: &'static [u8]) -> Script {
    Arc::new(move |mut wire| {
        Box::pin(async move {
            wire.write_all(start).await.ok()?;
            while wire.write_all(more).await.is_ok() {}
            None
        })
    })
}

fn subject() -> Subject {
    Subject {
        kind: "smtp",
        options: |address| format!("address = '{address}'"),
        healthy: saying(&[HELLO, "250-mail.test\r\n250 STARTTLS\r\n", FAREWELL]),
        trickled: b"",
        endless: endless(b"220-", &[b'a'; 1000]),
        denying: None,
        garbage: Reason::Protocol,
    }
}

// What is missing waits for a first word of the client, which here is the server's to say; and
// credentials go over TLS alone. Both have their tests below.
contract_suite! { subject:
    healthy as a_healthy_peer_is_a_success_and_each_run_closes_its_connection,
    refused as a_refused_connection_is_told_with_its_address,
    silent as a_silent_peer_is_left_at_the_deadline,
    cancelled_span as a_cancelled_run_ends_its_span_as_a_timeout,
    oversized as an_answer_without_end_is_too_large,
}

async fn asked(options: &str) -> Result<Detail, Failure> {
    ask(&*check("smtp", options), PATIENT).await
}

async fn failed(options: &str) -> (Reason, String) {
    let failure = asked(options).await.expect_err("the run fails");
    (failure.reason(), failure.message().to_owned())
}

/// Why asking a peer that says `replies` fails, with the `mode` given.
async fn refusal(replies: &[&str], mode: &str) -> (Reason, String) {
    let peer = Peer::start(saying(replies)).await;
    let reported = failed(&format!("address = '{}'\nmode = '{mode}'", peer.address)).await;
    peer.has_seen_closed(1).await;
    reported
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_left_at_the_deadline() {
    for start in [&b"220-mail.test\r\n220-"[..], b"220 mail.test\r\n250-"] {
        let peer = Peer::start(trickling(start)).await;
        let check = check("smtp", &format!("address = '{}'", peer.address));
        let failure = ask(&*check, SHORT).await.expect_err("it never ends");
        assert_eq!(failure.reason(), Reason::Timeout, "{}", failure.message());
        peer.has_seen_closed(1).await;
    }
}

#[tokio::test]
async fn an_answer_in_no_protocol_is_told_apart() {
    for garbage in ["\0}{ no protocol at all \r\n\r\n\u{1}", "SSH-2.0-OpenSSH\r\n"] {
        let (reason, text) = refusal(&[garbage], "plain").await;
        assert_eq!(reason, Reason::Protocol, "{text}");
    }
    let (reason, text) = refusal(&[HELLO, "354 go on\r\n"], "plain").await;
    assert_eq!(reason, Reason::Protocol, "{text}");
}

#[tokio::test]
async fn a_peer_that_closes_at_once_is_a_reset_connection() {
    let closing = peer::closing();
    let after_greeting: Script = Arc::new(|mut wire| {
        Box::pin(async move {
            wire.write_all(HELLO.as_bytes()).await.ok()?;
            wire.read_u8().await.ok()?;
            None
        })
    });
    for script in [closing, after_greeting] {
        let peer = Peer::start(script).await;
        let (reason, text) = failed(&format!("address = '{}'", peer.address)).await;
        assert_eq!(reason, Reason::ConnectionReset, "{text}");
        assert_eq!(peer.accepted(), 1);
    }
}

#[tokio::test]
async fn a_server_that_leaves_without_a_farewell_has_served() {
    // Once before it could hear one from us, and once after.
    for heard in ["E", "EHLO [127.0.0.1]\r\nQUIT\r\n"] {
        let leaving: Script = Arc::new(move |mut wire| {
            Box::pin(async move {
                wire.write_all(HELLO.as_bytes()).await.ok()?;
                wire.read_u8().await.ok()?;
                wire.write_all(b"250 mail.test\r\n").await.ok()?;
                let mut rest = vec![0; heard.len() - 1];
                wire.read_exact(&mut rest).await.ok()?;
                None
            })
        });
        let peer = Peer::start(leaving).await;
        assert_eq!(asked(&format!("address = '{}'", peer.address)).await, Ok(Detail::ok()));
    }
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_code_and_text() {
    for (replies, reason, reported) in [
        (&["554 no service\r\n"][..], Reason::NotServing, "the connection: 554 no service"),
        (&["421 too many connections\r\n"], Reason::Overloaded, "421 too many connections"),
        (
            &[HELLO, "550 who are you\r\n", "550 still\r\n"],
            Reason::UnexpectedStatus,
            "EHLO: 550 who are you",
        ),
    ] {
        let (found, text) = refusal(replies, "plain").await;
        assert_eq!(found, reason, "{text}");
        assert!(text.ends_with(reported), "{text}");
    }
}

#[tokio::test]
async fn it_says_where_it_comes_from_or_what_it_is_configured_to_say() {
    for (option, said) in
        [("", "EHLO [127.0.0.1]\r\nQUIT\r\n"), ("ehlo = 'me.test'", "EHLO me.test\r\nQUIT\r\n")]
    {
        let heard = Arc::default();
        let script = talking(&[HELLO, "250 mail.test\r\n", FAREWELL], Arc::clone(&heard));
        let peer = Peer::start(script).await;
        let options = format!("address = '{}'\n{option}", peer.address);
        assert_eq!(asked(&options).await, Ok(Detail::ok()));
        assert_eq!(*heard.lock().unwrap(), said);
    }
}

#[tokio::test]
async fn starttls_must_be_offered_and_nothing_may_follow_it() {
    let (reason, text) = refusal(&[HELLO, "250 mail.test\r\n"], "starttls").await;
    assert_eq!(reason, Reason::TlsFailed);
    assert!(text.ends_with("does not offer STARTTLS"), "{text}");
    let offer = "250-mail.test\r\n250 STARTTLS\r\n";
    let (reason, text) = refusal(&[HELLO, offer, "454 not now\r\n"], "starttls").await;
    assert_eq!(reason, Reason::TlsFailed);
    assert!(text.ends_with("answered to STARTTLS: 454 not now"), "{text}");
    let injected = "220 go\r\n250-mail.test\r\n250 AUTH PLAIN\r\n";
    let (reason, text) = refusal(&[HELLO, offer, injected], "starttls").await;
    assert_eq!(reason, Reason::Protocol);
    assert!(text.ends_with("goes on without TLS after STARTTLS"), "{text}");
}

/// A check over TLS from the start with the credentials `app` and [`SECRET`].
fn with_login(address: SocketAddr, ca: &NamedTempFile) -> String {
    format!(
        "address = '{address}'\nmode = 'tls'\ntls.ca = '{}'\nusername = 'app'\npassword = '{SECRET}'",
        ca.path().display()
    )
}

#[tokio::test]
async fn no_secret_shows_in_messages_or_spans() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let config = authority.issue("127.0.0.1").server(None);
    let (spans, _guard) = Spans::record();
    // Both what it was sent and what that says.
    let encoded = "AGFwcABodW50ZXIyLXMzY3IzdA==";
    let echo = format!("535 no {SECRET} and no {encoded}\r\n");
    let offer = "250-mail.test\r\n250 AUTH PLAIN\r\n";
    let heard = Arc::default();
    let script = talking(&[HELLO, offer, &echo], Arc::clone(&heard));
    let peer = Peer::start_tls(config, script).await;
    let (reason, text) = failed(&with_login(peer.address, &ca)).await;
    assert_eq!(reason, Reason::AuthFailed);
    assert!(text.ends_with("answered to AUTH PLAIN: 535 no [secret] and no [secret]"), "{text}");
    let sent = format!("AUTH PLAIN {encoded}\r\n");
    assert!(heard.lock().unwrap().ends_with(&sent), "{heard:?}");
    let spans = format!("{:?}", spans.ended());
    assert!(!spans.contains(SECRET) && !spans.contains(encoded), "{spans}");
}

#[tokio::test]
async fn a_server_without_plain_logins_is_reported() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let config = authority.issue("127.0.0.1").server(None);
    let offer = "250-mail.test\r\n250 AUTH LOGIN XPLAIN\r\n";
    let peer = Peer::start_tls(config, saying(&[HELLO, offer])).await;
    let (reason, text) = failed(&with_login(peer.address, &ca)).await;
    assert_eq!(reason, Reason::AuthFailed);
    assert!(text.ends_with("does not offer AUTH PLAIN"), "{text}");
}

/// aiosmtpd, on a port with STARTTLS and on one with TLS.
async fn aiosmtpd() -> Option<Server> {
    Server::start("aiosmtpd", "smtp_server.py", ["app", SECRET]).await
}

/// Options of a check by `mode` on a port of the server, which it trusts.
fn trusting(mail: &Server, mode: &str, port: u16) -> String {
    let ca = mail.ca.path().display();
    format!("address = '127.0.0.1:{port}'\nmode = '{mode}'\ntls.ca = '{ca}'")
}

#[tokio::test]
async fn a_server_that_somebody_else_wrote_is_understood_in_every_mode() {
    let Some(mail) = aiosmtpd().await else { return };
    let login = |password: &str| format!("\nusername = 'app'\npassword = '{password}'");
    let plain = format!("address = '127.0.0.1:{}'", mail.plain);
    let starttls = trusting(&mail, "starttls", mail.plain);
    let tls = trusting(&mail, "tls", mail.tls);
    for options in [&plain, &starttls, &tls] {
        assert_eq!(asked(options).await, Ok(Detail::ok()), "{options}");
    }
    for options in [starttls, tls] {
        assert_eq!(asked(&format!("{options}{}", login(SECRET))).await, Ok(Detail::ok()));
        let (reason, text) = failed(&format!("{options}{}", login("not-the-one"))).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.contains("535") && !text.contains("not-the-one"), "{text}");
    }
}

#[tokio::test]
async fn tls_is_verified_in_every_mode() {
    let Some(mail) = aiosmtpd().await else { return };
    let strangers = file(&Authority::new().pem);
    for (mode, port, phases) in [
        ("starttls", mail.plain, &["connect", "request", "tls", "request", "transfer"][..]),
        ("tls", mail.tls, &["connect", "tls", "request", "transfer"]),
    ] {
        let (spans, _guard) = Spans::record();
        assert_eq!(asked(&trusting(&mail, mode, port)).await, Ok(Detail::ok()));
        let span = spans.only();
        assert_eq!((&*span.name, &span.status), ("EHLO", &Status::Unset));
        let mut steps = events(&span);
        steps.dedup();
        assert_eq!(steps, phases);
        assert_eq!(attribute(&span, "network.protocol.name").as_deref(), Some("smtp"));
        let ca = mail.ca.path().display().to_string();
        let options =
            trusting(&mail, mode, port).replace(&ca, &strangers.path().display().to_string());
        assert_eq!(failed(&options).await.0, Reason::TlsUntrusted);
    }
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(mail) = aiosmtpd().await else { return };
    let check = check("smtp", &format!("address = '127.0.0.1:{}'", mail.plain));
    freeze_and_stop(&*check, mail.daemon).await;
}

#[test]
fn every_wrong_option_is_reported_without_the_password() {
    let password = format!("password = '{SECRET}'");
    for (options, wrong) in [
        ("address = 'mail'", "address: the port is missing"),
        ("address = 'mail:25'\ntls = true", "tls: nothing speaks TLS; write `mode = "),
        ("address = 'mail:25'\nmode = 'tls'\ntls = false", "tls: the mode speaks TLS; write "),
        ("address = 'mail:25'\nmode = 'ssl'", "mode: "),
        ("address = 'mail:25'\nehlo = \"a\\r\\nQUIT\"", "ehlo: this is no name; write one such as"),
        ("address = 'mail:25'\nehlo = ''", "ehlo: this is no name"),
        ("address = 'mail:25'\nusername = 'app'", "username: a user needs a password"),
        (&format!("address = 'mail:25'\n{password}"), "password: a password needs a user"),
        (
            &format!("address = 'mail:25'\nusername = 'app'\n{password}"),
            "username: credentials are sent over TLS alone; write `mode = ",
        ),
        (
            &format!("address = 'mail:25'\nmode = 'tls'\nusername = ''\n{password}"),
            "username: it is empty or holds a NUL",
        ),
    ] {
        let reported = errors("smtp", options);
        assert!(reported.len() == 1 && reported[0].starts_with(wrong), "{options}: {reported:?}");
        assert!(!format!("{reported:?}").contains(SECRET));
    }
}
