//! The `dns` kind over UDP.

use std::net::UdpSocket;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use opentelemetry::trace::Status;
use tokio::time::timeout;
use vitalsign::{Check, Failure, Outcome, Reason};

use super::answer;
use crate::support::checks::{PATIENT, SHORT, ask, check, figure, run};
use crate::support::peer;
use crate::support::spans::{Spans, attribute, events};
use crate::support::udp::UdpPeer;

fn asking(peer: &UdpPeer, more: &str) -> std::sync::Arc<dyn Check> {
    check("dns", &format!("name = 'orders.test'\nresolver = '{}'\n{more}", peer.address))
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message")
}

/// Why a peer that answers so fails a run.
async fn failing(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Failure {
    failing_within(PATIENT, answer).await
}

async fn failing_within(
    limit: Duration,
    answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> Failure {
    let peer = UdpPeer::start(answer).await;
    let failure = ask(&*asking(&peer, ""), limit).await.expect_err("it fails");
    assert!(failure.message().contains(&peer.address.to_string()), "{}", failure.message());
    failure
}

#[tokio::test]
async fn an_answer_is_a_success_with_its_time_to_live_as_a_figure() {
    let peer = UdpPeer::start(|query| vec![bytes(&answer(query))]).await;
    let check = asking(&peer, "expect.contains = '10.0.0.1'");
    let server = check.server().expect("an address");
    assert_eq!((server.address.as_str(), server.port), ("127.0.0.1", Some(peer.address.port())));
    let run = run(check).await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert_eq!(figure(&run, "dns_ttl_seconds"), Some(60.0));
    assert_eq!(peer.heard(), 1, "one query is all it takes");
}

#[tokio::test]
async fn the_span_tells_what_was_asked_of_whom() {
    let peer = UdpPeer::start(|query| vec![bytes(&answer(query))]).await;
    let (spans, _guard) = Spans::record();
    ask(&*asking(&peer, ""), PATIENT).await.expect("an answer");
    let span = spans.only();
    assert_eq!((span.name.as_ref(), &span.status), ("dns query", &Status::Unset));
    assert_eq!(events(&span), ["request"]);
    let port = peer.address.port().to_string();
    for (key, value) in [
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("network.transport", "udp"),
        ("network.protocol.name", "dns"),
        ("network.peer.address", "127.0.0.1"),
        ("dns.question.name", "orders.test"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_server_with_a_name_is_looked_up_first() {
    let peer = UdpPeer::start(|query| vec![bytes(&answer(query))]).await;
    let resolver = format!("localhost:{}", peer.address.port());
    let (spans, _guard) = Spans::record();
    let check = check("dns", &format!("name = 'orders.test'\nresolver = '{resolver}'"));
    ask(&*check, PATIENT).await.expect("an answer");
    assert_eq!(events(&spans.only()), ["resolve", "request"]);
}

#[tokio::test]
async fn a_port_without_a_server_is_a_refused_connection() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("its address");
    drop(socket);
    let (spans, _guard) = Spans::record();
    let check = check("dns", &format!("name = 'orders.test'\nresolver = '{address}'"));
    let failure = ask(&*check, PATIENT).await.expect_err("it is refused");
    assert_eq!(failure.reason(), Reason::ConnectionRefused, "{}", failure.message());
    assert_eq!(attribute(&spans.only(), "error.type").as_deref(), Some("connection_refused"));
}

#[tokio::test]
async fn a_silent_server_is_left_at_the_deadline_and_the_socket_freed() {
    let peer = UdpPeer::start(|_| Vec::new()).await;
    let (spans, _guard) = Spans::record();
    let failure = ask(&*asking(&peer, ""), SHORT).await.expect_err("no answer");
    assert_eq!(failure.reason(), Reason::Timeout, "{}", failure.message());
    assert_eq!(attribute(&spans.only(), "error.type").as_deref(), Some("timeout"));
    let port = peer.client().await.port();
    UdpSocket::bind(("0.0.0.0", port)).expect("its port is free again");
}

#[tokio::test]
async fn what_is_no_dns_message_is_a_protocol_error() {
    for garbage in [&b""[..], b"\x01", b"no DNS at all, but long enough for a header"] {
        let failure = failing_within(SHORT, move |_| vec![garbage.to_vec()]).await;
        assert_eq!(failure.reason(), Reason::Protocol, "{}", failure.message());
        // It may be a stranger's: the answer is waited for.
        let before = move |query: &[u8]| vec![garbage.to_vec(), bytes(&answer(query))];
        let peer = UdpPeer::start(before).await;
        ask(&*asking(&peer, ""), PATIENT).await.expect("the answer comes last");
    }
    let cut = |query: &[u8]| {
        let mut bytes = bytes(&answer(query));
        bytes.truncate(30);
        vec![bytes]
    };
    assert_eq!(failing(cut).await.reason(), Reason::Protocol);
}

#[tokio::test]
async fn an_answer_to_another_query_is_passed_over() {
    let forged = |query: &[u8]| {
        let wrong = [
            |message: &mut Message| message.metadata.id ^= 1,
            |message: &mut Message| message.metadata.message_type = MessageType::Query,
            |message: &mut Message| {
                let name = "others.test.".parse().expect("a name");
                message.queries[0].set_name(name);
            },
            |message: &mut Message| message.queries.clear(),
        ];
        let forge = |edit: &fn(&mut Message)| {
            let mut message = answer(query);
            edit(&mut message);
            bytes(&message)
        };
        let wrong: [fn(&mut Message); 4] = wrong;
        wrong.iter().map(forge).collect::<Vec<_>>()
    };
    let peer = UdpPeer::start(forged).await;
    let failure = ask(&*asking(&peer, ""), SHORT).await.expect_err("none is the answer");
    assert_eq!(failure.reason(), Reason::Timeout, "{}", failure.message());
    let peer = UdpPeer::start(move |query| {
        let mut datagrams = forged(query);
        datagrams.push(bytes(&answer(query)));
        datagrams
    })
    .await;
    ask(&*asking(&peer, ""), PATIENT).await.expect("the answer comes last");
}

#[tokio::test]
async fn an_id_is_not_used_twice() {
    let (tell, told) = std::sync::mpsc::channel();
    let peer = UdpPeer::start(move |query| {
        tell.send(query[..2].to_vec()).expect("a listener");
        vec![bytes(&answer(query))]
    })
    .await;
    let check = asking(&peer, "");
    for _ in 0..4 {
        ask(&*check, PATIENT).await.expect("an answer");
    }
    let ids: std::collections::HashSet<_> = told.try_iter().collect();
    // Of four random ids, all four are one once in 10^14 times.
    assert!(ids.len() > 1, "{ids:?}");
}

#[tokio::test]
async fn a_datagram_beyond_what_is_read_is_too_large() {
    let large = |query: &[u8]| {
        let mut message = answer(query);
        let text = RData::TXT(TXT::new(vec!["x".repeat(255); 20]));
        message.answers.push(Record::from_rdata(message.queries[0].name().clone(), 1, text));
        vec![bytes(&message)]
    };
    assert_eq!(failing(large).await.reason(), Reason::TooLarge);
}

#[tokio::test]
async fn an_error_without_the_question_is_an_answer() {
    let refusing = |query: &[u8]| {
        let mut message = answer(query);
        message.queries.clear();
        message.answers.clear();
        message.metadata.response_code = ResponseCode::FormErr;
        vec![bytes(&message)]
    };
    let failure = failing(refusing).await;
    assert_eq!(failure.reason(), Reason::DnsFailed);
    assert!(failure.message().contains(" answers FORMERR to "), "{}", failure.message());
}

/// The flags of a response with this code.
fn flags(code: u8) -> [u8; 2] {
    [0x84, code]
}

#[tokio::test]
async fn a_server_without_edns_is_asked_again_without_it() {
    const FORMERR: u8 = 1;
    const NOTIMP: u8 = 4;
    type Refusal = fn(&[u8]) -> Vec<Vec<u8>>;
    let refusals: [(&str, Refusal); 5] = [
        ("FORMERR with the question", |query| {
            let mut message = Message::from_vec(query).expect("a query");
            message.edns = None;
            let mut bytes = bytes(&message);
            bytes[2..4].copy_from_slice(&flags(FORMERR));
            vec![bytes]
        }),
        ("FORMERR in a header alone", |query| {
            vec![[&query[..2], &flags(FORMERR)[..], &[0; 8]].concat()]
        }),
        // As servers do that cut the query off where they no longer understand it.
        ("FORMERR with counts of what is missing", |query| {
            vec![[&query[..2], &flags(FORMERR)[..], &query[4..12]].concat()]
        }),
        ("NOTIMP", |query| vec![[&query[..2], &flags(NOTIMP)[..], &[0; 8]].concat()]),
        ("nothing", |_| Vec::new()),
    ];
    for (what, refuse) in refusals {
        let old = move |query: &[u8]| {
            let knows_edns = Message::from_vec(query).expect("a query").edns.is_some();
            if knows_edns { refuse(query) } else { vec![bytes(&answer(query))] }
        };
        let peer = UdpPeer::start(old).await;
        let limit = if what == "nothing" { 10 * SHORT } else { PATIENT };
        let answered = ask(&*asking(&peer, "expect.contains = '10.0.0.1'"), limit).await;
        assert!(answered.is_ok(), "{what}: {answered:?}");
        assert_eq!(peer.heard(), 2, "{what}");
    }
}

#[tokio::test]
async fn the_shortest_time_of_the_answer_counts_aliases_included() {
    let peer = UdpPeer::start(|query| {
        let mut message = answer(query);
        let [alias, last] = ["a.test.", "b.test."].map(|name| name.parse().expect("a name"));
        let first = message.queries[0].name().clone();
        message.answers = vec![
            Record::from_rdata(first, 30, RData::CNAME(CNAME(Name::clone(&alias)))),
            Record::from_rdata(alias, 20, RData::CNAME(CNAME(Name::clone(&last)))),
            Record::from_rdata(last, 3600, RData::A(A::new(10, 0, 0, 1))),
        ];
        vec![bytes(&message)]
    })
    .await;
    let run = run(asking(&peer, "expect.contains = '10.0.0.1'")).await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert_eq!(figure(&run, "dns_ttl_seconds"), Some(20.0));
}

#[tokio::test]
async fn the_letters_of_the_question_may_come_back_in_another_case() {
    let peer = UdpPeer::start(|query| {
        let mut message = answer(query);
        message.queries[0].set_name("ORDERS.test.".parse().expect("a name"));
        vec![bytes(&message)]
    })
    .await;
    ask(&*asking(&peer, "type = 'a'\nexpect.rcode = 'noerror'"), PATIENT).await.expect("it is");
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_a_connection_to_the_same_server() {
    // Cut off in the middle of a record, as some servers do.
    let truncated = |query: &[u8]| {
        let mut message = answer(query);
        message.metadata.truncation = true;
        let mut bytes = bytes(&message);
        bytes.truncate(bytes.len() - 20);
        vec![bytes]
    };
    let (peer, listener) = UdpPeer::with_listener(truncated).await;
    let check = asking(&peer, "");
    let (spans, _guard) = Spans::record();
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let script = super::serving(super::framed, std::time::Duration::ZERO);
        script(Box::new(stream)).await
    };
    let (answered, held) = tokio::join!(ask(&*check, PATIENT), timeout(PATIENT, serve));
    answered.expect("an answer");
    assert!(held.is_ok_and(|held| held.is_some()), "it is asked again over a connection");
    let spans = spans.ended();
    let transports: Vec<_> = spans.iter().map(|s| attribute(s, "network.transport")).collect();
    assert_eq!(transports, [Some("udp".into()), Some("tcp".into())]);
    assert!(spans.iter().all(|span| span.status == Status::Unset));
    // The connection shares the deadline.
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        peer::silent()(Box::new(stream)).await
    };
    let (answered, _held) = tokio::join!(ask(&*check, SHORT), timeout(PATIENT, serve));
    assert_eq!(answered.expect_err("no answer").reason(), Reason::Timeout);
}
