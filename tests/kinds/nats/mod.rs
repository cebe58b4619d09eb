//! The `nats` kind, against the NATS server: that of Debian, and a current one.

mod current;
mod keys;

use opentelemetry::trace::Status;
use rustix::process::Signal;
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::broker::Broker;
use crate::support::certs::{Authority, Identity, file};
use crate::support::checks::{PATIENT, ask, check, errors, failure, freeze_and_stop};
use crate::support::daemon::wait_for;
use crate::support::peer::{self, Peer};
use crate::support::spans::{Spans, attribute, events};

const INFO: &[u8] = b"INFO {\"server_id\":\"x\",\"auth_required\":true}\r\n";

fn subject() -> Subject {
    Subject {
        kind: "nats",
        options: |address| format!("url = 'nats://app:{SECRET}@{address}'"),
        healthy: peer::greeting(INFO, "PING\r\nPONG\r\n"),
        trickled: b"",
        endless: peer::greeting(format!("INFO {{{}", " ".repeat(70_000)).as_bytes(), ""),
        denying: Some(peer::greeting(INFO, "-ERR 'Authorization Violation'\r\n")),
        garbage: Reason::Protocol,
    }
}

contract_suite! { subject:
    healthy as a_healthy_peer_is_a_success_and_each_run_closes_its_connection,
    refused as a_refused_connection_is_told_with_its_address,
    silent as a_silent_peer_is_left_at_the_deadline,
    cancelled_span as a_cancelled_run_ends_its_span_as_a_timeout,
    oversized as an_answer_without_end_is_too_large,
    denied as refused_credentials_are_told_apart,
}

/// A server speaks first here, so the peers that wait for a question are of no use.
#[tokio::test]
async fn a_greeting_that_is_wrong_is_told_apart() {
    let subject = subject();
    let closed = Reason::ConnectionReset;
    let cut = peer::then_closing(peer::greeting(INFO, "PON"));
    for (script, wanted) in [
        (peer::closing(), closed),
        (cut, closed),
        (peer::greeting(b"220 mail.example ESMTP\r\n", ""), Reason::Protocol),
        (peer::greeting(b"\0\xff\xfe}{ no protocol", ""), Reason::Protocol),
        (peer::greeting(b"PONG\r\n", ""), Reason::Protocol),
        (peer::greeting(INFO, "HTTP/1.1 400 Bad Request\r\n"), Reason::Protocol),
        (peer::greeting(b"-ERR 'maximum connections exceeded'\r\n", ""), Reason::Overloaded),
        (peer::greeting(INFO, "PING\r\n".repeat(20_000)), Reason::TooLarge),
    ] {
        assert_eq!(subject.fails(script).await, wanted);
    }
    subject.is_cancelled(peer::greeting_slowly(b"INFO {")).await;
}

#[tokio::test]
async fn no_secret_shows_in_messages_or_spans() {
    let (spans, _guard) = Spans::record();
    let echo = format!("-ERR 'no {SECRET}'\r\n");
    let scripts = [
        peer::greeting(INFO, echo.as_str()),
        peer::greeting(echo.as_bytes(), ""),
        peer::greeting(INFO, format!("{SECRET}\r\n")),
        peer::closing(),
    ];
    for credentials in [format!("app:{SECRET}@"), format!("{SECRET}@")] {
        for script in &scripts {
            let peer = Peer::start(script.clone()).await;
            let (_, text) = failed(&format!("nats://{credentials}{}", peer.address), "").await;
            assert!(!text.contains(SECRET), "{text}");
        }
    }
    let all = format!("{:?}", spans.ended());
    assert!(spans.ended().len() == 8 && !all.contains(SECRET), "{all}");
}

/// Asks the server at `url` once.
async fn asked(url: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("nats", &format!("url = '{url}'\n{more}")), PATIENT).await
}

/// Why the server at `url` fails.
async fn failed(url: &str, more: &str) -> (Reason, String) {
    let failure = failure("nats", &format!("url = '{url}'\n{more}")).await;
    (failure.reason(), failure.message().to_owned())
}

#[tokio::test]
async fn a_server_is_asked_by_the_conventions_of_its_spans() {
    let Some(server) = Broker::nats("", &[]).await else { return };
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&format!("nats://{}", server.address()), "").await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!(span.name, "ping");
    assert_eq!(span.status, Status::Unset);
    assert_eq!(events(&span), ["connect", "request", "request", "transfer"]);
    for (key, value) in [
        ("messaging.system.name", "nats"),
        ("messaging.operation.name", "ping"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(server) = Broker::nats("", &[]).await else { return };
    let check = check("nats", &format!("url = 'nats://{}'", server.address()));
    freeze_and_stop(&*check, server.daemon).await;
}

#[tokio::test]
async fn credentials_must_be_right_where_they_are_asked_for() {
    let user = format!("authorization {{ user: app, password: \"{SECRET}\" }}");
    let token = format!("authorization {{ token: \"{SECRET}\" }}");
    for (settings, right) in [(user, format!("app:{SECRET}@")), (token, format!("{SECRET}@"))] {
        let Some(server) = Broker::nats(&settings, &[]).await else { return };
        let of = |credentials: &str| format!("nats://{credentials}{}", server.address());
        assert_eq!(asked(&of(&right), "").await, Ok(Detail::ok()));
        for wrong in ["", "app:not-the-one@", "not-the-one@"] {
            let (reason, text) = failed(&of(wrong), "").await;
            assert_eq!(reason, Reason::AuthFailed, "{text}");
            assert!(text.ends_with("answered: Authorization Violation"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_with_all_the_clients_it_takes_is_overloaded() {
    let Some(server) = Broker::nats("max_connections: 1", &[]).await else { return };
    let url = format!("nats://{}", server.address());
    let (mut held, mut refused) = (Vec::new(), None);
    // What was closed a moment ago may still count, so that one held now may be refused itself.
    wait_for("it to be full", async || {
        held.push(tokio::net::TcpStream::connect(server.address()).await.expect("a connection"));
        refused = asked(&url, "").await.err();
        refused.is_some()
    })
    .await;
    let refused = refused.expect("it is full");
    assert_eq!(refused.reason(), Reason::Overloaded, "{}", refused.message());
}

#[tokio::test]
async fn a_server_in_lame_duck_mode_is_a_warning() {
    let settings = "lame_duck_duration: 30s\nlame_duck_grace_period: 1s";
    let Some(server) = Broker::nats(settings, &[]).await else { return };
    let url = format!("nats://{}", server.address());
    // It stops listening as soon as it is a lame duck, so only a client that is there already can
    // hear of it.
    let ducks = peer::greeting(b"INFO {\"ldm\":true}\r\n", "PONG\r\n");
    let told = peer::greeting(b"INFO {}\r\n", "INFO {\"ldm\":true}\r\nPONG\r\n");
    for script in [ducks, told] {
        let peer = Peer::start(script).await;
        let verdict = asked(&format!("nats://{}", peer.address), "").await.expect("it answers");
        assert!(format!("{verdict:?}").contains("lame duck"), "{verdict:?}");
    }
    server.daemon.signal_all(Signal::USR2);
    wait_for("it to stop listening", async || asked(&url, "").await.is_err()).await;
    assert_eq!(failed(&url, "").await.0, Reason::ConnectionRefused);
}

/// A server with TLS, and files that name its authority and another one.
async fn with_tls(settings: &str) -> Option<(Broker, [tempfile::NamedTempFile; 2])> {
    let authority = Authority::new();
    let Identity { cert, key } = authority.issue("127.0.0.1");
    let tls = format!("tls {{ cert_file: cert.pem, key_file: key.pem {settings} }}");
    let server = Broker::nats(&tls, &[("cert.pem", &cert), ("key.pem", &key)]).await?;
    Some((server, [file(&authority.pem), file(&Authority::new().pem)]))
}

#[tokio::test]
async fn tls_is_spoken_and_verified_whatever_the_scheme_says() {
    let Some((server, [right, wrong])) = with_tls("").await else { return };
    for scheme in ["nats", "tls"] {
        let url = format!("{scheme}://{}", server.address());
        for (ca, wanted) in [(&right, None), (&wrong, Some(Reason::TlsUntrusted))] {
            let (spans, _guard) = Spans::record();
            let verdict = asked(&url, &format!("tls.ca = '{}'", ca.path().display())).await;
            assert_eq!(verdict.err().map(|failure| failure.reason()), wanted);
            assert_eq!(events(&spans.only())[..3], ["connect", "request", "tls"]);
        }
    }
    let (reason, text) = failed(&format!("nats://{}", server.address()), "tls = false").await;
    assert_eq!(reason, Reason::TlsFailed);
    assert!(text.contains("wants TLS"), "{text}");
}

#[tokio::test]
async fn credentials_are_never_sent_without_the_tls_that_was_asked_for() {
    let Some(server) = Broker::nats("", &[]).await else { return };
    let (reason, text) = failed(&format!("tls://app:{SECRET}@{}", server.address()), "").await;
    assert_eq!(reason, Reason::TlsFailed);
    assert!(text.contains("offers no TLS") && !text.contains(SECRET), "{text}");
    // Words that came before TLS are not taken for words within it.
    let early = peer::greeting(b"INFO {\"tls_required\":true}\r\nPONG\r\n", "");
    let peer = Peer::start(early).await;
    assert_eq!(failed(&format!("tls://{}", peer.address), "").await.0, Reason::Protocol);
}

#[test]
fn every_option_that_is_wrong_is_told_without_the_url() {
    let told = errors("nats", &format!("url = 'nats://:{SECRET}@broker:0'\ntls.cert = 'x'"));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("url: its host or port is none; right is nats://"), "{told:?}");
    assert!(told[1].starts_with("tls.cert: a client certificate needs its key"), "{told:?}");
    for (options, option) in [
        ("url = 'tls://broker'\ntls = false", "tls: tls:// is asked with TLS"),
        ("url = 'nats://broker/orders'", "url: it holds a path"),
    ] {
        let told = errors("nats", options);
        assert!(told.len() == 1 && told[0].starts_with(option), "{told:?}");
    }
}
