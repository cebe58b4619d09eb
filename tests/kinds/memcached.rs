//! The `memcached` kind, against memcached.

use std::net::SocketAddr;

use opentelemetry::trace::Status;
use rustix::process::Signal;
use tokio::net::TcpStream;
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file};
use crate::support::checks::{
    PATIENT, SHORT, ask, ask_often, check, errors, figure, freeze_and_stop, run,
};
use crate::support::daemon::wait_for;
use crate::support::memcached::Memcached;
use crate::support::peer::{self, Peer};
use crate::support::spans::{Spans, attribute, events};

/// What a server that wants a login answers to `version`, the login, `version` and `stats`.
const ANSWERS: &[u8] = b"CLIENT_ERROR unauthenticated\r\nSTORED\r\nVERSION 1.6.18\r\n\
    STAT limit_maxbytes 200\r\nSTAT bytes 50\r\nEND\r\n";

fn subject() -> Subject {
    Subject {
        kind: "memcached",
        options: |address| with_login(address, SECRET),
        healthy: peer::answering(ANSWERS),
        trickled: b"CLIENT_ERROR unauthenticated\r\nSTORED\r\nVERSION 1.6.18",
        endless: peer::endless(
            b"CLIENT_ERROR unauthenticated\r\nSTORED\r\nVERSION ",
            &[b'1'; 1000],
        ),
        denying: Some(peer::answering(
            "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR authentication failure\r\n",
        )),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

fn with_login(address: SocketAddr, password: &str) -> String {
    format!("address = '{address}'\nusername = 'app'\npassword = '{password}'")
}

async fn asked(options: &str) -> Result<Detail, Failure> {
    ask(&*check("memcached", options), PATIENT).await
}

async fn failed(options: &str) -> (Reason, String) {
    let failure = asked(options).await.expect_err("the run fails");
    (failure.reason(), failure.message().to_owned())
}

#[tokio::test]
async fn a_server_is_asked_by_the_conventions_of_its_spans() {
    let Some(server) = Memcached::start(&[], &[]).await else { return };
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&format!("address = '{}'", server.address())).await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!(span.name, "version");
    assert_eq!(span.status, Status::Unset);
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let port = server.address().port().to_string();
    for (key, value) in [
        ("db.system.name", "memcached"),
        ("db.operation.name", "version"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn memory_and_connections_in_use_are_figures() {
    let Some(server) = Memcached::start(&["-m", "16"], &[]).await else { return };
    let run = run(check("memcached", &format!("address = '{}'", server.address()))).await;
    assert_eq!(figure(&run, "memory_ratio"), Some(0.0), "{run:?}");
    assert!(figure(&run, "connections").is_some_and(|count| count >= 1.0), "{run:?}");
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(server) = Memcached::start(&[], &[]).await else { return };
    let check = check("memcached", &format!("address = '{}'", server.address()));
    freeze_and_stop(&*check, server.daemon).await;
}

#[tokio::test]
async fn credentials_must_be_right_where_they_are_asked_for() {
    let file = format!("app:{SECRET}\n");
    let files = [("users", file.as_str())];
    let Some(server) = Memcached::start(&["-Y", "users"], &files).await else { return };
    let address = server.address();
    assert_eq!(asked(&with_login(address, SECRET)).await, Ok(Detail::ok()));
    for options in [format!("address = '{address}'"), with_login(address, "not-the-one")] {
        let (spans, _guard) = Spans::record();
        let (reason, text) = failed(&options).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.contains("CLIENT_ERROR") && !text.contains("not-the-one"), "{text}");
        let span = spans.only();
        let code = attribute(&span, "db.response.status_code");
        assert_eq!(code.as_deref(), Some("CLIENT_ERROR"));
        assert_eq!(attribute(&span, "error.type").as_deref(), Some("auth_failed"));
    }
}

#[tokio::test]
async fn credentials_are_not_stored_in_a_server_that_asks_for_none() {
    let Some(server) = Memcached::start(&[], &[]).await else { return };
    let text = format!("{} asks for no credentials, but some are configured", server.address());
    assert_eq!(asked(&with_login(server.address(), SECRET)).await, Ok(Detail::warning(text)));
    let run = run(check(
        "tcp",
        &format!(
            "address = '{}'\nsend = \"get vitalsign\\r\\n\"\nexpect.regex = '^END'",
            server.address()
        ),
    ))
    .await;
    assert_eq!(run.reason, None, "the key has no value: {run:?}");
}

#[tokio::test]
async fn a_server_with_all_the_clients_it_takes_is_overloaded() {
    let Some(server) = Memcached::start(&["-c", "16", "-t", "1"], &[]).await else { return };
    let (mut held, mut refused) = (Vec::new(), None);
    wait_for("it to be full", async || {
        held.push(TcpStream::connect(server.address()).await.expect("a connection"));
        refused = asked(&format!("address = '{}'", server.address())).await.err();
        refused.is_some()
    })
    .await;
    let refused = refused.expect("it is full");
    assert_eq!(refused.reason(), Reason::Overloaded, "{}", refused.message());
    assert!(refused.message().contains("Too many open connections"), "{}", refused.message());
}

#[tokio::test]
async fn no_answer_to_stats_fails_a_run() {
    for stats in [
        &b"ERROR\r\n"[..],
        b"SERVER_ERROR no route\r\n",
        b"PONG\r\n",
        b"STAT pid 7\r\nno protocol\r\n",
        b"\0\xff\r\n",
        b"",
    ] {
        let answer = [b"VERSION mcrouter 1\r\n", stats].concat();
        let peer = Peer::start(peer::answering_once(answer)).await;
        assert_eq!(asked(&format!("address = '{}'", peer.address)).await, Ok(Detail::ok()));
    }
    // One that never answers takes no more than part of the time.
    let peer = Peer::start(peer::answering("VERSION 1\r\nSTAT pid 7\r\n")).await;
    let check = check("memcached", &format!("address = '{}'", peer.address));
    assert_eq!(ask(&*check, 10 * SHORT).await, Ok(Detail::ok()));
    peer.has_seen_closed(1).await;
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_tcp_is() {
    let Some((server, path)) = Memcached::on_socket().await else { return };
    for address in [format!("unix://{path}"), path.clone()] {
        let run = run(check("memcached", &format!("address = '{address}'"))).await;
        assert_eq!(run.reason, None, "{run:?}");
        assert!(figure(&run, "connections").is_some(), "{run:?}");
    }
    server.daemon.stop(Signal::TERM).await;
    let (reason, text) = failed(&format!("address = 'unix://{path}'")).await;
    assert_eq!(reason, Reason::ConnectionRefused);
    assert!(text.starts_with(&format!("connecting to {path} failed")), "{text}");
}

#[tokio::test]
async fn a_healthy_server_counts_and_logs_nothing_against_us() {
    let file = format!("app:{SECRET}\n");
    let files = [("users", file.as_str())];
    for (arguments, files) in [(&[][..], &[][..]), (&["-Y", "users"], &files)] {
        let Some(server) = Memcached::start(arguments, files).await else { return };
        let log = server.log();
        let options = match files {
            [] => format!("address = '{}'", server.address()),
            _ => with_login(server.address(), SECRET),
        };
        let check = check("memcached", &options);
        ask_often(&check).await;
        assert_eq!(server.log(), log);
        let run = run(check).await;
        assert_eq!(figure(&run, "connections").map(|count| count < 10.0), Some(true), "{run:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1");
    let files = [("cert.pem", identity.cert.as_str()), ("key.pem", identity.key.as_str())];
    let settings = ["-Z", "-o", "ssl_chain_cert=cert.pem,ssl_key=key.pem"];
    let Some(server) = Memcached::start(&settings, &files).await else { return };
    for (ca, wanted) in [(&authority, None), (&Authority::new(), Some(Reason::TlsUntrusted))] {
        let ca = file(&ca.pem);
        let (spans, _guard) = Spans::record();
        let options = "address = 'ADDRESS'\ntls.ca = 'CA'";
        let options = options.replace("ADDRESS", &server.address().to_string());
        let verdict = asked(&options.replace("CA", &ca.path().display().to_string())).await;
        assert_eq!(verdict.err().map(|failure| failure.reason()), wanted);
        assert_eq!(events(&spans.only())[..2], ["connect", "tls"]);
    }
}

#[test]
fn every_wrong_option_is_reported_without_the_password() {
    let wrong = format!("address = 'cache'\nusername = ''\npassword = '{SECRET} more'");
    let socket = errors("memcached", "address = 'unix:///run/memcached.sock'\ntls = true");
    assert_eq!(socket, ["tls: a Unix socket is used without TLS; leave this out"]);
    let reported = errors("memcached", &wrong);
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert!(reported[0].starts_with("address: the port is missing; write "), "{reported:?}");
    assert!(reported[1].starts_with("username: this is no single word; write "), "{reported:?}");
    assert!(reported[2].starts_with("password: this is no single word; write "), "{reported:?}");
    assert!(!format!("{reported:?}").contains(SECRET));
    for (option, other) in [("username", "password"), ("password", "username")] {
        let reported = errors("memcached", &format!("address = 'cache:1'\n{option} = 'x'"));
        assert!(
            reported.len() == 1 && reported[0].starts_with(&format!("{option}: ")),
            "{reported:?}"
        );
        assert!(reported[0].ends_with(&format!("add `{other}`")), "{reported:?}");
    }
}
