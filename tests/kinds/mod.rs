//! What every kind that asks over the network owes, and a module for each kind's own.
//!
//! A kind joins the common suite with a [`Subject`] and one line: `contract_suite!(subject)`, or
//! `contract_suite!(subject, with credentials)`.

pub(crate) mod amqp;
mod another;
mod dns;
mod grpc;
mod http;
mod icmp;
pub(crate) mod kafka;
mod memcached;
mod mongodb;
mod mqtt;
mod nats;
mod often;
mod redis;
mod smtp;
mod tcp;
mod tls;
mod tls_certificates;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use opentelemetry::trace::Status;
use schemars::SchemaGenerator;
use tokio::net::TcpStream;
use tokio::time::Instant;
use vitalsign::checks::KINDS;
use vitalsign::{Check, Context, Reason};

use crate::support::checks::{PATIENT, SHORT, ask, check};
use crate::support::memory::{Held, alone};
use crate::support::peer::{self, Peer, Script};
use crate::support::spans::{Spans, attribute};

/// What a subject's options hold wherever its kind takes a secret; it must show nowhere.
pub(crate) const SECRET: &str = "hunter2-s3cr3t";

/// A kind under the common suite.
pub(crate) struct Subject {
    pub(crate) kind: &'static str,
    /// Options that ask the peer at this address, with [`SECRET`] as every secret.
    pub(crate) options: fn(SocketAddr) -> String,
    /// A peer that answers as it should.
    pub(crate) healthy: Script,
    /// The start of a right answer, for a peer that sends it byte by byte and never ends it.
    pub(crate) trickled: &'static [u8],
    /// A peer whose answer never ends.
    pub(crate) endless: Script,
    /// A peer that refuses the credentials, where the kind has any.
    pub(crate) denying: Option<Script>,
    /// The reason for an answer in no protocol at all.
    pub(crate) garbage: Reason,
}

impl Subject {
    fn check(&self, address: SocketAddr) -> Arc<dyn Check> {
        check(self.kind, &(self.options)(address))
    }

    /// Why asking a peer with this script fails.
    async fn fails(&self, script: Script) -> Reason {
        let peer = Peer::start(script).await;
        let failure = ask(&*self.check(peer.address), PATIENT).await.expect_err("it fails");
        assert!(failure.message().contains(&peer.address.to_string()), "{}", failure.message());
        peer.has_seen_closed(1).await;
        assert_eq!(peer.accepted(), 1, "one connection is all it takes");
        failure.reason()
    }

    /// How many bytes a run holds that awaits a peer, the peer's own share left out.
    async fn waits(&self) -> usize {
        let peer = Peer::start(peer::silent()).await;
        let check = self.check(peer.address);
        peer::settle().await;
        let held = Held::begin();
        let _stream = TcpStream::connect(peer.address).await.expect("it listens");
        peer.has_accepted(1).await;
        peer::settle().await;
        let by_peer = held.bytes();
        let held = Held::begin();
        let cx = Context::new(Instant::now() + PATIENT, None);
        let mut run = check.run(&cx);
        tokio::select! {
            biased;
            ended = &mut run => panic!("it ends: {ended:?}"),
            () = async { peer.has_accepted(2).await; peer::settle().await } => {}
        }
        held.bytes().saturating_sub(by_peer)
    }

    /// Asks a peer that never finishes its answer, until the deadline.
    async fn is_cancelled(&self, script: Script) {
        let peer = Peer::start(script).await;
        let check = self.check(peer.address);
        let failure = ask(&*check, SHORT).await.expect_err("it fails");
        assert_eq!(failure.reason(), Reason::Timeout, "{}", failure.message());
        peer.has_accepted(1).await;
        peer.has_seen_closed(1).await;
    }
}

pub(crate) async fn healthy(subject: Subject) {
    let peer = Peer::start(subject.healthy.clone()).await;
    let check = subject.check(peer.address);
    assert_eq!(check.kind(), subject.kind);
    let server = check.server().expect("an address");
    assert_eq!((server.address.as_str(), server.port), ("127.0.0.1", Some(peer.address.port())));
    for asked in 1..=2 {
        ask(&*check, PATIENT).await.expect("it is healthy");
        peer.has_seen_closed(asked).await;
        assert_eq!(peer.accepted(), asked);
    }
}

/// Most bytes that a run may hold while it awaits its peer, times the thousands that may wait at
/// once.
const MOST_HELD: usize = 10 * 1024;

/// The same over HTTP/2, which has tables and room for frames of its own.
const MOST_HELD_OVER_HTTP_2: usize = 48 * 1024;

pub(crate) async fn memory(subject: Subject, test: &str) {
    if !alone(test) {
        return;
    }
    // The first one makes what the process keeps for good.
    subject.waits().await;
    let held = subject.waits().await;
    let most = if subject.kind == "grpc" { MOST_HELD_OVER_HTTP_2 } else { MOST_HELD };
    assert!(held <= most, "a run of {} holds {held} bytes", subject.kind);
}

pub(crate) async fn refused(subject: Subject) {
    let (_reserved, address) = peer::refusing();
    let (spans, _guard) = Spans::record();
    let failure = ask(&*subject.check(address), PATIENT).await.expect_err("it is refused");
    assert_eq!(failure.reason(), Reason::ConnectionRefused, "{}", failure.message());
    assert!(failure.message().contains(&address.to_string()), "{}", failure.message());
    let span = spans.only();
    assert_eq!(span.status, Status::error("connection refused"));
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("connection_refused"));
}

pub(crate) async fn silent(subject: Subject) {
    subject.is_cancelled(peer::silent()).await;
}

pub(crate) async fn trickle(subject: Subject) {
    subject.is_cancelled(peer::trickling(subject.trickled)).await;
}

pub(crate) async fn cancelled_span(subject: Subject) {
    let (spans, _guard) = Spans::record();
    subject.is_cancelled(peer::silent()).await;
    assert_eq!(attribute(&spans.only(), "error.type").as_deref(), Some("timeout"));
}

pub(crate) async fn garbage(subject: Subject) {
    let garbage = peer::answering_once(&b"\0\xff\xfe}{ no protocol at all \r\n\r\n\x01"[..]);
    assert_eq!(subject.fails(garbage).await, subject.garbage);
}

pub(crate) async fn closed_early(subject: Subject) {
    assert_eq!(subject.fails(peer::closing()).await, Reason::ConnectionReset);
    let after_hearing = peer::answering_once("");
    assert_eq!(subject.fails(after_hearing).await, Reason::ConnectionReset);
}

pub(crate) async fn oversized(subject: Subject) {
    assert_eq!(subject.fails(subject.endless.clone()).await, Reason::TooLarge);
}

pub(crate) async fn denied(subject: Subject) {
    let denying = subject.denying.clone().expect("a peer that refuses credentials");
    assert_eq!(subject.fails(denying).await, Reason::AuthFailed);
}

pub(crate) async fn secrets(subject: Subject) {
    let (_reserved, refusing) = peer::refusing();
    let (spans, _guard) = Spans::record();
    let mut messages = Vec::new();
    let failed = ask(&*subject.check(refusing), PATIENT).await.expect_err("it is refused");
    messages.push(failed);
    // The peer gives back what it was sent, so that it may come to light in an error as well.
    let secret = format!("{SECRET}\r\n");
    let scripts = [
        Some(subject.healthy.clone()),
        Some(peer::closing()),
        Some(peer::answering_once(secret)),
        Some(subject.endless.clone()),
        subject.denying.clone(),
    ];
    for script in scripts.into_iter().flatten() {
        let peer = Peer::start(script).await;
        messages.extend(ask(&*subject.check(peer.address), PATIENT).await.err());
    }
    assert!((subject.options)(refusing).contains(SECRET), "the options hold the secret");
    assert!(messages.len() >= 4 && spans.ended().len() > messages.len());
    for shown in [format!("{messages:?}"), format!("{:?}", spans.ended())] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn every_option_of_every_kind_is_documented() {
    for kind in KINDS {
        let schema = (kind.schema)(&mut SchemaGenerator::default());
        assert_eq!(schema.get("additionalProperties"), Some(&false.into()), "{}", kind.name);
        let options = schema.get("properties").and_then(|p| p.as_object()).expect(kind.name);
        for (name, option) in options {
            assert!(option.get("description").is_some(), "{}: {name}", kind.name);
        }
    }
    assert!(KINDS.is_sorted_by_key(|kind| kind.name));
}

/// The common suite, as a test a scenario. What a run holds is a test of every kind in it.
macro_rules! contract_suite {
    (@each $subject:path: $($scenario:ident as $name:ident,)+) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::kinds::$scenario($subject()).await;
        })+
    };
    ($subject:path: $($scenario:ident as $name:ident,)+) => {
        $crate::kinds::contract_suite! { @each $subject: $($scenario as $name,)+ }

        #[tokio::test]
        async fn a_run_that_waits_holds_little_memory() {
            let test = concat!(module_path!(), "::a_run_that_waits_holds_little_memory");
            $crate::kinds::memory($subject(), test).await;
        }
    };
    ($subject:path) => {
        $crate::kinds::contract_suite! { $subject:
            healthy as a_healthy_peer_is_a_success_and_each_run_closes_its_connection,
            refused as a_refused_connection_is_told_with_its_address,
            silent as a_silent_peer_is_left_at_the_deadline,
            trickle as an_answer_byte_by_byte_is_left_at_the_deadline,
            cancelled_span as a_cancelled_run_ends_its_span_as_a_timeout,
            garbage as an_answer_in_no_protocol_is_told_apart,
            closed_early as a_peer_that_closes_at_once_is_a_reset_connection,
            oversized as an_answer_without_end_is_too_large,
            secrets as no_secret_shows_in_messages_or_spans,
        }
    };
    ($subject:path, with credentials) => {
        $crate::kinds::contract_suite!($subject);
        $crate::kinds::contract_suite! { @each $subject:
            denied as refused_credentials_are_told_apart,
        }
    };
}
pub(crate) use contract_suite;
