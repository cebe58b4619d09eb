//! The `mongodb` kind. No MongoDB can be installed where these run: its peers follow the public
//! specifications, and MongoDB's own Python driver encodes what they say.

mod driver;
mod listed;
mod peer;

use std::sync::Arc;

use opentelemetry::trace::Status;
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file};
use crate::support::checks::{PATIENT, ask, check, errors, failure};
use crate::support::peer::{Peer, answering, endless};
use crate::support::spans::{Spans, attribute, events};

use peer::{AUTHENTICATION_FAILED, HELLO, PING, reply, scripted};

fn subject() -> Subject {
    Subject {
        kind: "mongodb",
        options: |address| {
            let options = "appName=tests&authMechanism=SCRAM-SHA-256";
            format!("url = 'mongodb://app:{SECRET}@{address}/?{options}'")
        },
        healthy: peer::logging_in(),
        trickled: &HELLO[..60],
        // The start of an answer of 1 MiB to the first request.
        endless: endless(b"\0\0\x10\0\x01\0\0\0\x01\0\0\0\xdd\x07\0\0\0\0\0\0\0", &[b'a'; 1000]),
        denying: Some(answering([HELLO.to_vec(), reply(2, AUTHENTICATION_FAILED)].concat())),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

async fn asked(peer: &Peer, more: &str) -> Result<Detail, Failure> {
    let options = format!("url = 'mongodb://{}'\n{more}", peer.address);
    ask(&*check("mongodb", &options), PATIENT).await
}

#[tokio::test]
async fn a_server_is_asked_by_the_conventions_of_its_spans() {
    let peer = Peer::start(scripted(&[HELLO, &reply(2, PING)])).await;
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&peer, "").await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!((&*span.name, &span.status), ("ping admin", &Status::Unset));
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let port = peer.address.port().to_string();
    for (key, value) in [
        ("db.system.name", "mongodb"),
        ("db.operation.name", "ping"),
        ("db.namespace", "admin"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn an_error_shows_its_code_on_the_span() {
    let peer = Peer::start(scripted(&[HELLO, &reply(2, AUTHENTICATION_FAILED)])).await;
    let (spans, _guard) = Spans::record();
    let failure = asked(&peer, "").await.expect_err("it refuses");
    assert_eq!(failure.reason(), Reason::AuthFailed);
    let reported = "answered 18 to ping: AuthenticationFailed: Authentication failed.";
    assert_eq!(failure.message(), format!("{} {reported}", peer.address));
    let span = spans.only();
    assert_eq!(attribute(&span, "db.response.status_code").as_deref(), Some("18"));
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("auth_failed"));
}

#[tokio::test]
async fn an_answer_to_another_request_is_none() {
    for second in [reply(1, PING), reply(3, PING), reply(2, b"\x05\0\0\0\0")] {
        let peer = Peer::start(scripted(&[HELLO, &second])).await;
        let failure = asked(&peer, "").await.expect_err("no answer");
        assert_eq!(failure.reason(), Reason::Protocol, "{}", failure.message());
    }
}

#[tokio::test]
async fn whoever_does_not_know_the_password_is_not_the_server() {
    let peer = Peer::start(peer::pretending()).await;
    let mechanism = "authMechanism=SCRAM-SHA-256";
    let options = format!("url = 'mongodb://app:{SECRET}@{}/?{mechanism}'", peer.address);
    let failure = ask(&*check("mongodb", &options), PATIENT).await.expect_err("it pretends");
    assert_eq!(failure.reason(), Reason::AuthFailed);
    let reported = "failed: the server cannot prove that it knows the password";
    assert!(failure.message().ends_with(reported), "{}", failure.message());
}

#[tokio::test]
async fn a_certificate_logs_in_where_the_url_says_so() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let config = authority.issue("127.0.0.1").server(Some(&clients));
    let (ca, client) = (file(&authority.pem), clients.issue("app"));
    let (cert, key) = (file(&client.cert), file(&client.key));
    let [ca, cert, key] = [&ca, &cert, &key].map(|file| file.path().display());
    let tls = format!("tls = {{ ca = '{ca}', cert = '{cert}', key = '{key}' }}");
    for (user, credentials) in [(None, ""), (Some("CN=app"), "CN%3Dapp@")] {
        let peer = Peer::start_tls(Arc::clone(&config), peer::by_certificate(user)).await;
        let url = format!("mongodb://{credentials}{}/?authMechanism=MONGODB-X509", peer.address);
        let check = check("mongodb", &format!("url = '{url}'\n{tls}"));
        assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()), "{url}");
    }
    let other = Peer::start_tls(config, peer::by_certificate(Some("CN=other"))).await;
    let url = format!("mongodb://{}/?authMechanism=MONGODB-X509", other.address);
    let failure = failure("mongodb", &format!("url = '{url}'\n{tls}")).await;
    assert_eq!(failure.reason(), Reason::AuthFailed);
    assert!(failure.message().contains("answered 18 to authenticate"), "{}", failure.message());
}

#[test]
fn every_wrong_option_is_reported_without_secrets() {
    let url = format!("mongodb://app:{SECRET}@db");
    for (options, wrong) in [
        (format!("url = 'mongodb://app:{SECRET}@one,two'"), "url: it names several hosts"),
        (format!("url = 'mongodb+srv://app:{SECRET}@db:1'"), "url: a mongodb+srv URL has a name"),
        (
            "url = 'mongodb://db/?authMechanism=MONGODB-X509'".to_owned(),
            "tls: MONGODB-X509 logs in by",
        ),
        (format!("url = '{url}/?{SECRET}=1'"), "url: it holds an option that a check"),
        (format!("url = '{url}/?tls=false'\ntls = true"), "tls: the URL says tls=false"),
        (format!("url = '{url}/?tls=true'\ntls = false"), "tls: the URL says tls=true"),
        (format!("url = '{url}'\nexpect.role = 'arbiter'"), "expect.role: "),
        (format!("url = '{url}'\ntls = {{ cert = '/nowhere' }}"), "tls"),
    ] {
        let reported = errors("mongodb", &options);
        assert!(!reported.is_empty() && reported[0].starts_with(wrong), "{options}: {reported:?}");
        assert!(!format!("{reported:?}").contains(SECRET), "{reported:?}");
    }
}
