//! The `dns` kind, asked of servers that misbehave; of a real one in `bind`.

mod bind;
mod datagrams;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vitalsign::Reason;

use super::{Subject, contract_suite};
use crate::support::checks::{PATIENT, SHORT, ask, check, errors};
use crate::support::peer::{self, Peer, Script};
use crate::support::spans::{Spans, events};

/// The answer to a query: 10.0.0.1, for 60 s.
fn answer(query: &[u8]) -> Message {
    let mut message = Message::from_vec(query).expect("a query");
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    message.answers.push(Record::from_rdata(name, 60, RData::A(A::new(10, 0, 0, 1))));
    message
}

/// The length and the answer, as they go over a connection.
fn framed(query: &[u8]) -> Vec<u8> {
    let answer = answer(query).to_vec().expect("an answer");
    let length = u16::try_from(answer.len()).expect("a short answer");
    [&length.to_be_bytes()[..], &answer].concat()
}

/// Answers the query of each connection with the bytes that `answer` makes of it, one by one.
fn serving(answer: fn(&[u8]) -> Vec<u8>, pause: std::time::Duration) -> Script {
    std::sync::Arc::new(move |mut wire| {
        Box::pin(async move {
            let mut query = vec![0; usize::from(wire.read_u16().await.ok()?)];
            wire.read_exact(&mut query).await.ok()?;
            for byte in answer(&query) {
                wire.write_all(&[byte]).await.ok()?;
                tokio::time::sleep(pause).await;
            }
            Some(wire)
        })
    })
}

fn subject() -> Subject {
    Subject {
        kind: "dns",
        options: |address| {
            format!("name = 'orders.test'\nresolver = '{address}'\ntransport = 'tcp'")
        },
        healthy: serving(framed, std::time::Duration::ZERO),
        trickled: b"",
        endless: peer::silent(),
        denying: None,
        garbage: Reason::Protocol,
    }
}

// The length of an answer goes ahead of it, in 16 bits: none is too large or without end.
contract_suite! { subject:
    healthy as a_healthy_peer_is_a_success_and_each_run_closes_its_connection,
    refused as a_refused_connection_is_told_with_its_address,
    silent as a_silent_peer_is_left_at_the_deadline,
    cancelled_span as a_cancelled_run_ends_its_span_as_a_timeout,
    garbage as an_answer_in_no_protocol_is_told_apart,
    closed_early as a_peer_that_closes_at_once_is_a_reset_connection,
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_left_at_the_deadline() {
    let peer = Peer::start(serving(framed, SHORT / 10)).await;
    let failure = ask(&*subject().check(peer.address), SHORT).await.expect_err("it is too slow");
    assert_eq!(failure.reason(), Reason::Timeout, "{}", failure.message());
    peer.has_seen_closed(1).await;
}

#[tokio::test]
async fn an_answer_in_pieces_over_a_connection_is_put_together() {
    let peer = Peer::start(serving(framed, std::time::Duration::from_millis(1))).await;
    let (spans, _guard) = Spans::record();
    ask(&*subject().check(peer.address), PATIENT).await.expect("an answer");
    assert_eq!(events(&spans.only()), ["connect", "request", "transfer"]);
}

#[tokio::test]
async fn a_server_without_edns_is_asked_again_over_another_connection() {
    let old = |query: &[u8]| {
        let mut answer = answer(query);
        if answer.edns.is_some() {
            answer.answers.clear();
            answer.metadata.response_code = ResponseCode::FormErr;
        }
        let bytes = answer.to_vec().expect("an answer");
        [&u16::try_from(bytes.len()).expect("it is short").to_be_bytes()[..], &bytes].concat()
    };
    let peer = Peer::start(serving(old, std::time::Duration::ZERO)).await;
    ask(&*subject().check(peer.address), PATIENT).await.expect("an answer");
    assert_eq!(peer.accepted(), 2);
    // One that is silent is asked again over the same.
    let silent: Script = std::sync::Arc::new(|mut wire| {
        Box::pin(async move {
            for _ in 0..2 {
                let mut query = vec![0; usize::from(wire.read_u16().await.ok()?)];
                wire.read_exact(&mut query).await.ok()?;
                if Message::from_vec(&query).ok()?.edns.is_none() {
                    wire.write_all(&framed(&query)).await.ok()?;
                }
            }
            Some(wire)
        })
    });
    let peer = Peer::start(silent).await;
    ask(&*subject().check(peer.address), 10 * SHORT).await.expect("an answer");
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn an_answer_to_another_question_over_a_connection_is_a_protocol_error() {
    let other = serving(
        |query| {
            let mut answer = answer(query);
            let queries = Message::from_vec(&answer.to_vec().unwrap()).unwrap().queries;
            answer.queries = [queries.clone(), queries].concat();
            let bytes = answer.to_vec().unwrap();
            [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
        },
        std::time::Duration::ZERO,
    );
    assert_eq!(subject().fails(other).await, Reason::Protocol);
}

#[tokio::test]
async fn the_systems_name_server_is_the_default() {
    let check = check("dns", "name = 'nowhere.invalid'\nexpect.rcode = 'NXDOMAIN'");
    assert_eq!(check.server(), None);
    // Whoever that is and whatever it says: it is asked, or found missing, and not made up.
    let (spans, _guard) = Spans::record();
    let answered = ask(&*check, SHORT).await;
    let missing = answered.is_err_and(|f| f.message().starts_with("this host names no name ser"));
    assert_eq!(spans.ended().is_empty(), missing);
}

#[test]
fn every_option_that_is_wrong_is_told() {
    let wrong =
        "name = ''\nresolver = 'ns:x'\ntype = 'AAAA'\nexpect.contains = ['::1', '10.0.0.1']";
    let told = errors("dns", wrong);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("name: this is no domain name; write "), "{told:?}");
    assert!(told[1].starts_with("resolver: the port must be "), "{told:?}");
    assert!(told[2].starts_with("expect.contains[1]: no IPv6 address; write "), "{told:?}");
    for (options, start) in [
        ("name = 'a'\nexpect.contains = 'b'", "expect.contains: no IPv4 address; write "),
        ("name = 'a'\ntype = 'TXT'\nexpect.contains = ' '", "expect.contains: the text is empty; "),
        (
            "name = 'a'\nexpect = { contains = '10.0.0.1', rcode = 'NXDOMAIN' }",
            "expect.contains: an answer with another code than NOERROR has no records; ",
        ),
        ("name = '10.0.0.1'", "name: an address has names, but is none; "),
        ("name = 'a..b'", "name: this is no domain name; "),
    ] {
        let told = errors("dns", options);
        assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
    }
    for right in ["_sip._tcp.orders.test", "bücher.test", "orders.test.", "*.orders.test"] {
        check("dns", &format!("name = '{right}'"));
    }
}
