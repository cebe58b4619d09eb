//! The `kafka` kind, against the broker Tansu and peers that answer by a script.

pub(crate) mod script;

use std::sync::{Arc, Mutex};

use opentelemetry::trace::Status;
use vitalsign::{Detail, Failure, Outcome, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file};
use crate::support::checks::{
    self, PATIENT, SHORT, ask, ask_often, check, errors, failure, figure,
};
use crate::support::peer::{self, Peer, Script};
use crate::support::spans::{Spans, attribute, events};
use crate::support::tansu::Tansu;
use script::{
    API_VERSIONS, FIRST, Hash, METADATA, SASL_AUTHENTICATE, SASL_HANDSHAKE, handshake, known,
    metadata, step,
};

fn subject() -> Subject {
    Subject {
        kind: "kafka",
        options: |address| format!("url = 'kafka://app:{SECRET}@{address}'"),
        healthy: script::but(|_, _| None),
        trickled: b"\0\x0f\0\0vitb\0\0\0\0\0\0",
        endless: peer::endless(b"\x7f\xff\xff\xffvitb\0\0", &[0; 1000]),
        denying: Some(script::but_one(SASL_AUTHENTICATE, Some(step(58, SECRET, "")))),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

/// Asks the broker at `url` once.
async fn asked(url: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("kafka", &format!("url = '{url}'\n{more}")), PATIENT).await
}

/// Why the broker at `url` fails.
async fn failed(url: &str, more: &str) -> (Reason, String) {
    let failure = failure("kafka", &format!("url = '{url}'\n{more}")).await;
    assert!(!failure.message().contains(SECRET), "{}", failure.message());
    (failure.reason(), failure.message().to_owned())
}

/// Why a peer with this script fails, asked with credentials such as `app:password@`.
async fn fails(script: Script, credentials: &str, more: &str) -> (Reason, String) {
    let peer = Peer::start(script).await;
    let failed = failed(&format!("kafka://{credentials}{}", peer.address), more).await;
    peer.has_seen_closed(1).await;
    failed
}

/// Who logs in.
fn app() -> String {
    format!("app:{SECRET}@")
}

#[tokio::test]
async fn a_broker_that_does_not_know_a_request_is_told_with_it() {
    for (script, what) in [
        (script::but_one(API_VERSIONS, Some(known(35, &[]))), "version 0 of ApiVersions"),
        (
            script::but_one(API_VERSIONS, Some(known(0, &[METADATA, SASL_HANDSHAKE]))),
            "version 0 of SaslAuthenticate",
        ),
        (
            script::but_one(API_VERSIONS, Some(known(0, &[SASL_AUTHENTICATE, SASL_HANDSHAKE]))),
            "version 4 of Metadata",
        ),
    ] {
        let (reason, text) = fails(script, &app(), "").await;
        assert_eq!(reason, Reason::Protocol);
        assert!(text.ends_with(&format!("does not know {what}")), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_no_answer() {
    assert_eq!(FIRST, b"vitb");
    for cut in [API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE, METADATA] {
        let (reason, text) = fails(script::but_one(cut, Some(vec![0; 3])), &app(), "").await;
        assert_eq!(reason, Reason::Protocol, "{cut}: {text}");
    }
}

#[tokio::test]
async fn a_broker_that_closes_when_asked_without_a_login_may_want_one() {
    let closing = || script::but_one(METADATA, None);
    let (reason, text) = fails(closing(), "", "").await;
    assert_eq!(reason, Reason::ConnectionReset);
    assert!(text.ends_with("; it may want a login"), "{text}");
    let (reason, text) = fails(closing(), &app(), "").await;
    assert_eq!(reason, Reason::ConnectionReset);
    assert!(!text.contains("login"), "{text}");
}

#[tokio::test]
async fn a_refused_login_is_told_with_its_cause() {
    let refused = step(58, "Invalid username or password", "");
    for (script, cause) in [
        (
            script::but_one(SASL_HANDSHAKE, Some(handshake(33))),
            "refuses the login PLAIN, although it offers it",
        ),
        (
            script::but_one(SASL_HANDSHAKE, Some(b"\0\x21\0\0\0\0".to_vec())),
            "offer the login PLAIN",
        ),
        (script::but_one(SASL_HANDSHAKE, Some(handshake(34))), "takes no login on this port"),
        (script::but_one(SASL_AUTHENTICATE, Some(refused)), "58: Invalid username or password"),
    ] {
        let (reason, text) = fails(script, &app(), "").await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.ends_with(cause), "{text}");
    }
}

#[tokio::test]
async fn the_mechanism_plain_sends_the_user_and_the_password() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let script = script::but(move |key, fields| {
        if [SASL_HANDSHAKE, SASL_AUTHENTICATE].contains(&key) {
            hear.lock().unwrap().push(String::from_utf8(fields.to_vec()).unwrap());
        }
        None
    });
    let peer = Peer::start(script).await;
    assert_eq!(asked(&format!("kafka://{}{}", app(), peer.address), "").await, Ok(Detail::ok()));
    let said = format!("\0\0\0\u{13}\0app\0{SECRET}");
    assert_eq!(*heard.lock().unwrap(), ["\0\u{5}PLAIN".to_owned(), said]);
}

#[tokio::test]
async fn a_token_is_sent_as_it_is() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let script = script::but(move |key, fields| {
        if [SASL_HANDSHAKE, SASL_AUTHENTICATE].contains(&key) {
            hear.lock().unwrap().push(String::from_utf8(fields.to_vec()).unwrap());
        }
        None
    });
    let peer = Peer::start(script).await;
    let more = format!("sasl = 'oauthbearer'\ntoken = '{SECRET}'");
    assert_eq!(asked(&format!("kafka://{}", peer.address), &more).await, Ok(Detail::ok()));
    let sent = format!("\0\0\0\u{20}n,,\u{1}auth=Bearer {SECRET}\u{1}\u{1}");
    assert_eq!(*heard.lock().unwrap(), ["\0\u{b}OAUTHBEARER".to_owned(), sent]);
}

/// A broker may answer with what is wrong, as RFC 7628 has it, or with an error.
#[tokio::test]
async fn a_refused_token_is_reported_with_its_cause() {
    let more = format!("sasl = 'oauthbearer'\ntoken = '{SECRET}'");
    for (at_last, cause) in [
        (step(58, "token expired", ""), "refused the login with error 58: token expired"),
        (step(0, "", ""), "refused the login with {\"status\":\"invalid_token\"}"),
    ] {
        let script = script::but(move |key, fields| match (key, &fields[4.min(fields.len())..]) {
            (SASL_AUTHENTICATE, b"\x01") => Some(at_last.clone()),
            (SASL_AUTHENTICATE, _) => Some(step(0, "", "{\"status\":\"invalid_token\"}")),
            _ => None,
        });
        let (reason, text) = fails(script, "", &more).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.ends_with(cause), "{text}");
    }
    let echoing = script::but_one(SASL_AUTHENTICATE, Some(step(58, SECRET, "")));
    assert_eq!(fails(echoing, "", &more).await.0, Reason::AuthFailed);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_broker_that_wants_one() {
    let authority = Authority::new();
    let server = authority.issue("127.0.0.1").server(Some(&authority));
    let peer = Peer::start_tls(server, script::but(|_, _| None)).await;
    let url = format!("kafkas://{}", peer.address);
    let identity = authority.issue("checker");
    let [ca, cert, key] = [&authority.pem, &identity.cert, &identity.key].map(|pem| file(pem));
    let [ca, cert, key] = [&ca, &cert, &key].map(|file| file.path().display().to_string());
    let with = format!("tls.ca = '{ca}'\ntls.cert = '{cert}'\ntls.key = '{key}'");
    assert_eq!(asked(&url, &with).await, Ok(Detail::ok()));
    assert_eq!(failed(&url, &format!("tls.ca = '{ca}'")).await.0, Reason::TlsFailed);
}

#[tokio::test]
async fn a_login_by_scram_proves_the_password_to_both_sides() {
    for (hash, sasl) in [(Hash::Sha256, "scram-sha-256"), (Hash::Sha512, "scram-sha-512")] {
        let option = format!("sasl = '{sasl}'");
        let peer = Peer::start(script::scram(hash, SECRET)).await;
        let url = |password: &str| format!("kafka://app:{password}@{}", peer.address);
        assert_eq!(asked(&url(SECRET), &option).await, Ok(Detail::ok()), "{sasl}");
        let (reason, text) = failed(&url("not-the-one"), &option).await;
        assert_eq!(reason, Reason::AuthFailed, "{text}");
        assert!(text.contains("error 58") && !text.contains("not-the-one"), "{text}");
    }
    // Who takes any proof must have one of its own.
    let (reason, text) = fails(script::but(|_, _| None), &app(), "sasl = 'scram-sha-256'").await;
    assert_eq!(reason, Reason::Protocol, "{text}");
    let challenged = Mutex::new(false);
    let unproved = script::but(move |key, fields| {
        let mut challenged = challenged.lock().unwrap();
        if key != SASL_AUTHENTICATE {
            return None;
        }
        if std::mem::replace(&mut *challenged, true) {
            return Some(step(0, "", "v=AAAA"));
        }
        let said = String::from_utf8(fields[4..].to_vec()).unwrap();
        let nonce = said.split_once("r=").unwrap().1;
        Some(step(0, "", &format!("r={nonce}more,s=c2FsdA==,i=4096")))
    });
    let (reason, text) = fails(unproved, &app(), "sasl = 'scram-sha-256'").await;
    assert_eq!(reason, Reason::AuthFailed);
    assert!(text.ends_with("the server cannot prove that it knows the password"), "{text}");
}

#[tokio::test]
async fn a_topic_must_be_there_with_a_leader_for_each_partition() {
    for (topic, reason, message, out_of_sync) in [
        (("q", 0, &[(1, 2), (1, 2)][..]), None, None, Some(0.0)),
        (("q", 3, &[]), Some(Reason::NotServing), Some("has no topic q"), None),
        (("q", 29, &[]), Some(Reason::AuthFailed), Some("see the topic q"), None),
        (("q", 5, &[]), Some(Reason::NotServing), Some("topic q with error 5"), None),
        (("x", 0, &[]), Some(Reason::UnexpectedBody), Some("nothing of the topic q"), None),
        (("q", 0, &[]), Some(Reason::NotServing), Some("knows no partition of the topic q"), None),
        (
            ("q", 0, &[(1, 2), (-1, 2)]),
            Some(Reason::NotServing),
            Some("1 of 2 partitions of q have no leader"),
            Some(0.0),
        ),
        (
            ("q", 0, &[(1, 1), (1, 2)]),
            None,
            Some("1 of 2 partitions of q have a replica out of sync"),
            Some(1.0),
        ),
    ] {
        let answer = metadata(1, 1, &[topic]);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&asked);
        let peer = Peer::start(script::but(move |key, fields| {
            (key == METADATA).then(|| {
                *hear.lock().unwrap() = fields.to_vec();
                answer.clone()
            })
        }))
        .await;
        let options = format!("url = 'kafka://{}'\ntopic = 'q'", peer.address);
        let run = checks::run(check("kafka", &options)).await;
        assert_eq!(run.reason, reason, "{run:?}");
        let told = run.message.clone().unwrap_or_default();
        assert!(told.ends_with(message.unwrap_or_default()), "{told}");
        assert_eq!(run.message.is_some(), message.is_some(), "{told}");
        assert_eq!(figure(&run, "under_replicated_partitions"), out_of_sync, "{told}");
        // One topic, and the wish that none be created.
        assert_eq!(*asked.lock().unwrap(), b"\0\0\0\x01\0\x01q\0");
    }
}

#[tokio::test]
async fn a_cluster_must_have_brokers_and_better_a_controller() {
    for (brokers, controller, outcome, message) in [
        (3, 1, Outcome::Success, None),
        (2, 1, Outcome::Failure, Some("knows 2 brokers, below min_brokers, 3")),
        (3, -1, Outcome::Warning, Some("has no controller")),
    ] {
        let answer = Some(metadata(brokers, controller, &[]));
        let peer = Peer::start(script::but_one(METADATA, answer)).await;
        let options = format!("url = 'kafka://{}'\nmin_brokers = 3", peer.address);
        let run = checks::run(check("kafka", &options)).await;
        assert_eq!((run.outcome, figure(&run, "brokers")), (outcome, Some(f64::from(brokers))));
        let told = run.message.unwrap_or_default();
        assert!(told.ends_with(message.unwrap_or_default()), "{told}");
    }
}

/// What a broker leaves empty is no figure.
#[tokio::test]
async fn a_broker_that_knows_no_broker_and_no_replica_has_measured_nothing() {
    let peer = Peer::start(script::but_one(METADATA, Some(metadata(0, -1, &[])))).await;
    let run = checks::run(check("kafka", &format!("url = 'kafka://{}'", peer.address))).await;
    assert_eq!((run.reason, figure(&run, "brokers")), (Some(Reason::NotServing), None), "{run:?}");
    // One partition with a leader and empty lists of replicas.
    let fields = [
        metadata(1, 1, &[("q", 0, &[])]).strip_suffix(&[0; 4]).unwrap(),
        b"\0\0\0\x01\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0",
    ]
    .concat();
    let peer = Peer::start(script::but_one(METADATA, Some(fields))).await;
    let options = format!("url = 'kafka://{}'\ntopic = 'q'", peer.address);
    let run = checks::run(check("kafka", &options)).await;
    assert_eq!(run.outcome, Outcome::Warning, "{run:?}");
    assert_eq!(figure(&run, "under_replicated_partitions"), None);
}

#[tokio::test]
async fn an_answer_that_is_not_as_expected_leaves_the_span_without_an_error() {
    for (topic, more) in [
        (("q", 0, &[(1, 2)][..]), "min_brokers = 2"),
        (("q", 0, &[(-1, 2)]), ""),
        (("x", 0, &[]), ""),
    ] {
        let (spans, _guard) = Spans::record();
        let script = script::but_one(METADATA, Some(metadata(1, 1, &[topic])));
        fails(script, "", &format!("topic = 'q'\n{more}")).await;
        assert_eq!(spans.only().status, Status::Unset, "{topic:?}");
    }
}

#[tokio::test]
async fn a_broker_is_asked_by_the_conventions_of_its_spans() {
    let Some(server) = Tansu::start(&[]).await else { return };
    server.create("orders");
    let url = format!("kafka://{}", server.address());
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&url, "topic = 'orders'\nmin_brokers = 1").await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!((&*span.name, &span.status), ("metadata orders", &Status::Unset));
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let port = server.port().to_string();
    for (key, value) in [
        ("messaging.system.name", "kafka"),
        ("messaging.operation.name", "metadata"),
        ("messaging.destination.name", "orders"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    for _ in 0..2 {
        // The second time shows that the first has created none.
        let (reason, text) = failed(&url, "topic = 'missing'").await;
        assert_eq!(reason, Reason::NotServing);
        assert!(text.ends_with("has no topic missing"), "{text}");
    }
}

#[tokio::test]
async fn a_frozen_broker_times_out_and_a_stopped_one_refuses() {
    let Some(mut server) = Tansu::start(&[]).await else { return };
    let check = check("kafka", &format!("url = 'kafka://{}'", server.address()));
    ask_often(&check).await;
    assert_eq!(server.log(), "");
    server.freeze();
    assert_eq!(ask(&*check, SHORT).await.expect_err("it is frozen").reason(), Reason::Timeout);
    server.thaw();
    assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
    server.stop();
    let refused = ask(&*check, PATIENT).await.expect_err("nothing listens");
    assert_eq!(refused.reason(), Reason::ConnectionRefused);
}

#[tokio::test]
async fn a_broker_that_wants_a_login_lets_nobody_in_without_one() {
    let Some(server) = Tansu::start(&["--authentication"]).await else { return };
    let (reason, text) = failed(&format!("kafka://{}", server.address()), "").await;
    assert_eq!(reason, Reason::ConnectionReset);
    assert!(text.ends_with("; it may want a login"), "{text}");
}

/// The command line of Tansu takes a certificate or its key, but not both.
#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let server = authority.issue("127.0.0.1").server(None);
    let peer = Peer::start_tls(server, script::but(|_, _| None)).await;
    let url = format!("kafkas://{}{}", app(), peer.address);
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
    let url = format!("url = 'kafka://:{SECRET}@one:9092,two:9092'");
    let told = errors("kafka", &format!("{url}\ntopic = '..'\ntls.cert = 'x'"));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("url: it names several hosts, while one check asks one"));
    assert!(told[1].starts_with("topic: this is no topic's name"), "{told:?}");
    assert!(told[2].starts_with("tls.cert: a client certificate needs its key"), "{told:?}");
    for (options, wanted) in [
        ("url = 'kafkas://broker'\ntls = false", "tls: kafkas:// is asked with TLS"),
        ("url = 'kafka://broker/orders'", "url: it holds a path"),
        ("url = 'kafka://broker'\nsasl = 'plain'", "sasl: nobody is there to log in"),
        ("url = 'kafka://a:b@broker'\nsasl = 'gssapi'", "sasl: unknown variant `gssapi`"),
    ] {
        let told = errors("kafka", options);
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
    }
}
