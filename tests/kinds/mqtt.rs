//! The `mqtt` kind, against mosquitto.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::broker::Broker;
use crate::support::certs::{Authority, file};
use crate::support::checks::{PATIENT, ask, ask_often, check, errors, failure, freeze_and_stop};
use crate::support::peer::{self, Peer, Script};
use crate::support::spans::{Spans, attribute, events};

fn subject() -> Subject {
    Subject {
        kind: "mqtt",
        options: |address| format!("url = 'mqtt://app:{SECRET}@{address}'"),
        healthy: peer::answering(*b"\x20\x02\0\0\x32\x03\0\x01t\xd0\0"),
        trickled: b"\x20\x02\0\0\x30\x80\x80\x02",
        endless: peer::endless(b"\x20\x02\0\0", b"\x30\x03\0\x01t"),
        denying: Some(peer::answering(*b"\x20\x02\0\x04")),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

const VERSIONS: [&str; 2] = ["3.1.1", "5"];

/// Asks the broker at `url` once.
async fn asked(url: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("mqtt", &format!("url = '{url}'\n{more}")), PATIENT).await
}

/// Why the broker at `url` fails.
async fn failed(url: &str, more: &str) -> (Reason, String) {
    let failure = failure("mqtt", &format!("url = '{url}'\n{more}")).await;
    (failure.reason(), failure.message().to_owned())
}

#[tokio::test]
async fn a_broker_is_asked_by_the_conventions_of_its_spans() {
    let Some(server) = Broker::mosquitto("allow_anonymous true", &[]).await else { return };
    for version in VERSIONS {
        let (spans, _guard) = Spans::record();
        let more = format!("version = '{version}'");
        assert_eq!(asked(&format!("mqtt://{}", server.address()), &more).await, Ok(Detail::ok()));
        let span = spans.only();
        assert_eq!(span.name, "ping");
        assert_eq!(span.status, Status::Unset);
        assert_eq!(events(&span), ["connect", "request", "transfer"]);
        for (key, value) in [
            ("messaging.system.name", "mqtt"),
            ("messaging.operation.name", "ping"),
            ("network.protocol.version", version),
            ("server.address", "127.0.0.1"),
        ] {
            assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
        }
    }
}

#[tokio::test]
async fn a_frozen_broker_times_out_and_a_stopped_one_refuses() {
    let Some(server) = Broker::mosquitto("allow_anonymous true", &[]).await else { return };
    let check = check("mqtt", &format!("url = 'mqtt://{}'", server.address()));
    freeze_and_stop(&*check, server.daemon).await;
}

#[tokio::test]
async fn credentials_must_be_right_where_they_are_asked_for() {
    let settings = "allow_anonymous false\npassword_file users";
    let Some(server) = Broker::mosquitto(settings, &[("users", USERS)]).await else { return };
    let of = |credentials: &str| format!("mqtt://{credentials}{}", server.address());
    for version in VERSIONS.map(|version| format!("version = '{version}'")) {
        assert_eq!(asked(&of(&format!("app:{SECRET}@")), &version).await, Ok(Detail::ok()));
        for wrong in ["", "app:not-the-one@", "app@"] {
            let (reason, text) = failed(&of(wrong), &version).await;
            assert_eq!(reason, Reason::AuthFailed, "{text}");
            assert!(text.contains("answered to CONNECT: "), "{text}");
        }
    }
}

/// [`SECRET`] as the password of `app`, the way `mosquitto_passwd` writes it.
const USERS: &str = "app:$7$101$7a3MEPhIhn3A9T+9$uudlXAl0XRVMPGGqeFOb5L9HiCBAstnz4zqjRfBZksi0EgKqCcxlol41gIiEVDxJoZpvLW1PgjQ7eU1Aqw1MtA==\n";

#[tokio::test]
async fn a_refusal_is_told_by_its_code() {
    for (answer, version, wanted, name) in [
        (&b"\x20\x02\0\x01"[..], "5", Reason::Protocol, "unsupported protocol version (0x01)"),
        (b"\x20\x02\0\x03", "3.1.1", Reason::NotServing, "server unavailable (0x03)"),
        (b"\x20\x03\0\x89\0", "5", Reason::Overloaded, "server busy (0x89)"),
        (b"\x20\x03\0\x97\0", "5", Reason::Overloaded, "quota exceeded (0x97)"),
        (b"\x20\x03\0\xee\0", "5", Reason::Other, "a cause of another name (0xee)"),
        (b"\x20\x03\0\x86\0", "5", Reason::AuthFailed, "bad user name or password (0x86)"),
        (b"\x20\x03\0\x8a\0", "5", Reason::AuthFailed, "banned (0x8a)"),
        (b"\x20\x03\0\x9d\0", "5", Reason::NotServing, "server moved (0x9d)"),
        (b"\x20\x03\0\x9f\0", "5", Reason::Overloaded, "connection rate exceeded (0x9f)"),
        (b"\x20\x03\0\0\0\xe0\x01\x04", "5", Reason::Other, "another name (0x04)"),
        (b"\x20\x03\0\0\0\xe0\x01\xa0", "5", Reason::NotServing, "connect time (0xa0)"),
        (b"\x20\x03\0\0\0\xe0\x01\x8b", "5", Reason::NotServing, "shutting down (0x8b)"),
        (b"\x20\x03\0\0\0\xe0\0", "5", Reason::NotServing, "normal disconnection (0x00)"),
    ] {
        let peer = Peer::start(peer::answering(answer)).await;
        let more = format!("version = '{version}'");
        let (reason, text) = failed(&format!("mqtt://{}", peer.address), &more).await;
        assert_eq!(reason, wanted);
        assert!(text.ends_with(name), "{text}");
    }
    // What comes before the answer, twice, in a form of its own, or in another protocol.
    for strange in [&b"\x30\x03\0\x01t"[..], b"\x20\x02\0\0\x20\x02\0\0", b"220 mail.example\r\n"] {
        let peer = Peer::start(peer::answering(strange)).await;
        assert_eq!(failed(&format!("mqtt://{}", peer.address), "").await.0, Reason::Protocol);
    }
}

/// Answers to all that a client sends, and keeps what that is.
fn keeping(sent: Arc<Mutex<Vec<Vec<u8>>>>) -> Script {
    Arc::new(move |mut wire| {
        let sent = Arc::clone(&sent);
        Box::pin(async move {
            let mut read = Vec::new();
            for answer in [&b"\x20\x02\0\0"[..], b"\xd0\0"] {
                wire.read_buf(&mut read).await.ok()?;
                wire.write_all(answer).await.ok()?;
            }
            wire.read_to_end(&mut read).await.ok()?;
            sent.lock().unwrap().push(read);
            None
        })
    })
}

#[tokio::test]
async fn each_run_is_a_client_of_its_own_that_pings_and_parts() {
    let sent = Arc::default();
    let peer = Peer::start(keeping(Arc::clone(&sent))).await;
    for run in 1..=2 {
        let url = format!("mqtt://app:{SECRET}@{}", peer.address);
        assert_eq!(asked(&url, "").await, Ok(Detail::ok()));
        peer.has_seen_closed(run).await;
    }
    let [one, other] = &sent.lock().unwrap()[..] else { panic!("two runs") };
    // A clean session, of a client that has a name, a user and a password.
    assert_eq!(one[2..10], *b"\0\x04MQTT\x04\xc2");
    for sent in [one, other] {
        // Brokers with a limit of the keep-alive, often a minute, take no longer one.
        let keep_alive = u16::from_be_bytes([sent[10], sent[11]]);
        assert!((10..=60).contains(&keep_alive), "{keep_alive}");
        assert!(sent.ends_with(b"\xc0\0\xe0\0"), "{sent:?}");
    }
    let name = |sent: &[u8]| sent[14..14 + usize::from(sent[13])].to_vec();
    assert_ne!(name(one), name(other));
}

#[tokio::test]
async fn a_broker_with_a_limit_of_the_keep_alive_takes_the_client() {
    let settings = "allow_anonymous true\nmax_keepalive 60";
    let Some(server) = Broker::mosquitto(settings, &[]).await else { return };
    for version in VERSIONS {
        let more = format!("version = '{version}'");
        assert_eq!(asked(&format!("mqtt://{}", server.address()), &more).await, Ok(Detail::ok()));
    }
}

/// Fifty runs leave only what every client leaves in its log: that it came and went.
#[tokio::test]
async fn asked_often_a_broker_has_nothing_to_complain_of() {
    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1");
    let ca = file(&authority.pem);
    let files = [("cert.pem", identity.cert.as_str()), ("key.pem", identity.key.as_str())];
    let tls = format!("tls.ca = '{}'", ca.path().display());
    let secure = "allow_anonymous true\ncertfile cert.pem\nkeyfile key.pem";
    for (scheme, settings, files, more) in
        [("mqtt", "allow_anonymous true", &files[..0], ""), ("mqtts", secure, &files, &tls)]
    {
        let Some(server) = Broker::mosquitto(settings, files).await else { return };
        for version in VERSIONS {
            let options = format!("url = '{scheme}://{}'\n{more}", server.address());
            let check = check("mqtt", &format!("{options}\nversion = '{version}'"));
            // The test itself has connected to see that it listens, and gone without a word.
            assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
            let before = server.log().len();
            ask_often(&check).await;
            let log = server.log()[before..].to_owned();
            for line in log.lines() {
                let usual = ["New connection from", "New client connected", " disconnected."];
                assert!(usual.iter().any(|usual| line.contains(usual)), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_password_without_a_user_is_known_to_version_5() {
    let sent = Arc::default();
    let peer = Peer::start(keeping(Arc::clone(&sent))).await;
    let url = format!("mqtt://:{SECRET}@{}", peer.address);
    assert!(asked(&url, "version = '5'").await.is_ok());
    peer.has_seen_closed(1).await;
    let sent = &sent.lock().unwrap()[0];
    assert_eq!(sent[2..10], *b"\0\x04MQTT\x05\x42");
    assert!(sent.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1");
    let settings = "allow_anonymous true\ncertfile cert.pem\nkeyfile key.pem";
    let files = [("cert.pem", identity.cert.as_str()), ("key.pem", identity.key.as_str())];
    let Some(server) = Broker::mosquitto(settings, &files).await else { return };
    let url = format!("mqtts://{}", server.address());
    for (ca, wanted) in [(&authority, None), (&Authority::new(), Some(Reason::TlsUntrusted))] {
        let ca = file(&ca.pem);
        let (spans, _guard) = Spans::record();
        let verdict = asked(&url, &format!("tls.ca = '{}'", ca.path().display())).await;
        assert_eq!(verdict.err().map(|failure| failure.reason()), wanted);
        assert_eq!(events(&spans.only())[..2], ["connect", "tls"]);
    }
}

#[test]
fn every_option_that_is_wrong_is_told_without_the_url() {
    let told = errors("mqtt", &format!("url = 'mqtt://:{SECRET}@broker'\ntls.cert = 'x'"));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("url: the password has no user, which only version 5 knows; "),
        "{told:?}"
    );
    assert!(told[1].starts_with("tls.cert: a client certificate needs its key"), "{told:?}");
    let long = "x".repeat(65_536);
    let long = format!("url = 'mqtt://app:{long}@broker'");
    for (options, option) in [
        ("url = 'mqtt://broker'\ntls = true", "tls: mqtt:// is asked without TLS"),
        ("url = 'mqtts://broker'\ntls = false", "tls: mqtts:// is asked with TLS"),
        ("url = 'mqtt://broker'\nversion = '4'", "version: "),
        ("url = 'mqtt://a%00b@broker'", "url: the user holds a zero byte"),
        (&long, "url: the user or the password is longer"),
    ] {
        let told = errors("mqtt", options);
        assert!(told.len() == 1 && told[0].starts_with(option), "{told:?}");
    }
}
