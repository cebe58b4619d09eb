//! The `amqp` kind, against peers that follow a script, and against RabbitMQ.

mod queue;
mod rabbitmq;

use std::sync::{Arc, LazyLock, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::checks::{PATIENT, ask, check, errors, failure};
use crate::support::peer::{self, Peer, Script};

/// A frame that holds a method.
fn method(channel: u8, [class, number]: [u8; 2], fields: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + fields.len()).unwrap().to_be_bytes();
    let method = [0, class, 0, number];
    [&[1, 0, channel][..], &length, &method, fields, &[0xCE]].concat()
}

fn start(mechanisms: &str) -> Vec<u8> {
    start_of(b"", mechanisms)
}

/// The greeting of a broker with these properties.
fn start_of(properties: &[u8], mechanisms: &str) -> Vec<u8> {
    let [of_properties, of_mechanisms] = [properties.len(), mechanisms.len()]
        .map(|length| u32::try_from(length).unwrap().to_be_bytes());
    let fields = [
        b"\0\x09",
        &of_properties[..],
        properties,
        &of_mechanisms,
        mechanisms.as_bytes(),
        b"\0\0\0\x05en_US",
    ];
    method(0, [10, 10], &fields.concat())
}

fn refusal(channel: u8, of: [u8; 2], code: u16, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let fields = [&code.to_be_bytes()[..], &[length], text.as_bytes(), &[0; 4]];
    method(channel, of, &fields.concat())
}

/// From the greeting to an open virtual host.
fn opened() -> Vec<u8> {
    opened_after(start("EXTERNAL PLAIN"))
}

fn opened_after(start: Vec<u8>) -> Vec<u8> {
    let tune = method(0, [10, 30], &[7, 255, 0, 2, 0, 0, 0, 60]);
    [start, tune, method(0, [10, 41], b"\0")].concat()
}

fn close_ok() -> Vec<u8> {
    method(0, [10, 51], b"")
}

/// All that a broker answers that has a queue with as many messages and no consumer.
pub(crate) fn answers(messages: u8) -> Vec<u8> {
    let declared = method(1, [50, 11], &[1, b'q', 0, 0, 0, messages, 0, 0, 0, 0]);
    [opened(), method(1, [20, 11], b"\0\0\0\0"), declared, close_ok()].concat()
}

/// What a broker answers that knows no such login.
pub(crate) fn denial() -> Vec<u8> {
    let refused = refusal(0, [10, 50], 403, "ACCESS_REFUSED - Login was refused");
    [start("PLAIN"), refused].concat()
}

fn subject() -> Subject {
    static HEARTBEATS: LazyLock<Vec<u8>> = LazyLock::new(|| b"\x08\0\0\0\0\0\0\xce".repeat(1000));
    Subject {
        kind: "amqp",
        options: |address| format!("url = 'amqp://app:{SECRET}@{address}'"),
        healthy: peer::answering([opened(), close_ok()].concat()),
        trickled: b"\x01\0\0\0\0\xf0\0\0\x0a\0\x0a",
        endless: peer::endless(b"", &HEARTBEATS),
        denying: Some(peer::answering(denial())),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

/// Asks the broker at `url` once.
async fn asked(url: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("amqp", &format!("url = '{url}'\n{more}")), PATIENT).await
}

/// Why the broker at `url` fails.
async fn failed(url: &str, more: &str) -> (Reason, String) {
    let failure = failure("amqp", &format!("url = '{url}'\n{more}")).await;
    assert!(!failure.message().contains(SECRET), "{}", failure.message());
    (failure.reason(), failure.message().to_owned())
}

/// As [`failed`], of a peer that answers with these bytes.
async fn fails(answer: Vec<u8>, more: &str) -> (Reason, String) {
    let peer = Peer::start(peer::answering_once(answer)).await;
    let failed = failed(&format!("amqp://app:{SECRET}@{}", peer.address), more).await;
    peer.has_seen_closed(1).await;
    failed
}

#[tokio::test]
async fn a_broker_of_another_version_is_told_with_it() {
    let another = method(0, [10, 10], &[&[1, 0][..], &[0; 12]].concat());
    for (answer, version) in [
        (b"AMQP\x00\x01\x00\x00".to_vec(), "1.0"),
        (b"AMQP\x01\x01\x00\x0a".to_vec(), "0-10"),
        (another, "1-0"),
    ] {
        let (reason, text) = fails(answer, "").await;
        assert_eq!(reason, Reason::Protocol);
        assert!(text.ends_with(&format!("speaks AMQP {version}, not 0-9-1")), "{text}");
    }
}

#[tokio::test]
async fn a_broker_that_ends_the_talk_is_told_apart() {
    let forced = refusal(0, [10, 50], 320, "CONNECTION_FORCED - broker forced connection closure");
    let repeated = refusal(0, [10, 50], 541, &format!("INTERNAL_ERROR - {SECRET}\n"));
    let closed = Reason::ConnectionReset;
    for (answer, wanted) in [
        ([opened(), forced].concat(), Reason::NotServing),
        ([start("PLAIN"), repeated].concat(), Reason::NotServing),
        (start("GSSAPI"), Reason::AuthFailed),
        (start("PLAIN"), closed),
        (opened()[..60].to_vec(), closed),
        (vec![1, 0, 0, 255, 255, 255, 255], Reason::TooLarge),
        (close_ok(), Reason::Protocol),
        ([start("PLAIN"), start("PLAIN")].concat(), Reason::Protocol),
    ] {
        let (reason, text) = fails(answer, "queue = 'q'").await;
        assert_eq!(reason, wanted, "{text}");
    }
}

#[tokio::test]
async fn a_broker_that_goes_without_a_word_at_the_end_has_served() {
    let peer = Peer::start(peer::answering_once(opened())).await;
    assert_eq!(asked(&format!("amqp://{}", peer.address), "").await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_broker_that_takes_no_messages_is_a_warning_until_it_does() {
    let blocked = method(0, [10, 60], b"\x0dlow on memory");
    let again = method(0, [10, 61], b"");
    for (said, caveat) in [(blocked.clone(), true), ([blocked, again].concat(), false)] {
        let peer = Peer::start(peer::answering([opened(), said, close_ok()].concat())).await;
        let verdict = asked(&format!("amqp://{}", peer.address), "").await.expect("it answers");
        let wanted = format!("{} takes no messages: low on memory", peer.address);
        assert_eq!(verdict, if caveat { Detail::warning(wanted) } else { Detail::ok() });
    }
}

/// A peer that gives this answer to the first bytes, and notes all that it is sent.
fn noting(answer: Vec<u8>) -> (Script, Arc<Mutex<Vec<u8>>>) {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&noted);
    let script: Script = Arc::new(move |mut wire| {
        let (answer, to) = (answer.clone(), Arc::clone(&to));
        Box::pin(async move {
            let mut sent = vec![0; 8];
            wire.read_exact(&mut sent).await.ok()?;
            wire.write_all(&answer).await.ok()?;
            // Whether by FIN or RST: the other side is done.
            let _ = wire.read_to_end(&mut sent).await;
            *to.lock().unwrap() = sent;
            None
        })
    });
    (script, noted)
}

#[tokio::test]
async fn an_end_that_the_broker_makes_is_agreed_to() {
    let of_channel = refusal(1, [20, 40], 404, "NOT_FOUND - no queue 'q'");
    let missing = [opened(), method(1, [20, 11], b"\0\0\0\0"), of_channel, close_ok()].concat();
    let farewell = [method(1, [20, 41], b""), method(0, [10, 50], b"\0\xc8\0\0\0\0\0")].concat();
    for (answer, reason, last) in
        [(denial(), Reason::AuthFailed, close_ok()), (missing, Reason::NotServing, farewell)]
    {
        let (script, noted) = noting(answer);
        let peer = Peer::start(script).await;
        let url = format!("amqp://app:{SECRET}@{}", peer.address);
        assert_eq!(failed(&url, "queue = 'q'").await.0, reason);
        peer.has_seen_closed(1).await;
        let noted = noted.lock().unwrap();
        assert!(noted.ends_with(&last), "{noted:?}");
    }
}

#[test]
fn every_option_that_is_wrong_is_told_without_the_url() {
    let url = format!("url = 'amqp://:{SECRET}@one,two'");
    let told = errors("amqp", &format!("{url}\nmax_messages = 1\ntls.cert = 'x'"));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("url: it names several hosts, while one check asks one"));
    assert_eq!(told[1], "max_messages: no queue is named; add `queue`");
    assert!(told[2].starts_with("tls.cert: a client certificate needs its key"), "{told:?}");
    for (options, wanted) in [
        ("url = 'amqps://broker'\ntls = false", "tls: amqps:// is asked with TLS"),
        (
            "url = 'amqp://broker'\nqueue = 'q'\nmax_messages = -1",
            "max_messages: this is no number",
        ),
        ("url = 'amqp://broker'\nqueue = ''", "queue: this is no queue's name"),
        ("url = 'amqp://broker'\nqueue = 'q'\nmin_consumers = 0", "min_consumers: "),
    ] {
        let told = errors("amqp", options);
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
    }
}
