//! The `redis` kind, against Redis.

mod replies;
mod servers;

use opentelemetry::trace::Status;
use vitalsign::{Detail, Failure, Reason};

use super::{SECRET, Subject, contract_suite};
use crate::support::certs::{Authority, file};
use crate::support::checks::{PATIENT, ask, check, errors, failure, freeze_and_stop};
use crate::support::daemon::{free_port, wait_for};
use crate::support::peer;
use crate::support::redis::Redis;
use crate::support::spans::{Spans, attribute, events};

/// What a master answers to `AUTH`, `PING` and two times `INFO`.
const ANSWERS: &[u8] = b"+OK\r\n+PONG\r\n$28\r\n# Replication\r\nrole:master\r\n\r\n$0\r\n\r\n";

fn subject() -> Subject {
    Subject {
        kind: "redis",
        options: |address| format!("url = 'redis://:{SECRET}@{address}'"),
        healthy: peer::answering(ANSWERS),
        trickled: b"+OK\r\n+PO",
        endless: peer::endless(b"+OK\r\n-", &[b'a'; 1000]),
        denying: Some(peer::answering("-WRONGPASS invalid username-password pair\r\n")),
        garbage: Reason::Protocol,
    }
}

contract_suite!(subject, with credentials);

/// Asks the server at `url` once.
async fn asked(url: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("redis", &format!("url = '{url}'\n{more}")), PATIENT).await
}

/// Why the server at `url` fails.
async fn failed(url: &str, more: &str) -> (Reason, String) {
    let failure = failure("redis", &format!("url = '{url}'\n{more}")).await;
    (failure.reason(), failure.message().to_owned())
}

#[tokio::test]
async fn a_server_is_asked_by_the_conventions_of_its_spans() {
    let Some(server) = Redis::start().await else { return };
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&format!("{}/3", server.url()), "").await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!(span.name, "PING");
    assert_eq!(span.status, Status::Unset);
    assert_eq!(events(&span), ["connect", "request", "transfer"]);
    let port = server.port().to_string();
    for (key, value) in [
        ("db.system.name", "redis"),
        ("db.operation.name", "PING"),
        ("db.namespace", "3"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(mut server) = Redis::start().await else { return };
    let check = check("redis", &format!("url = '{}'", server.url()));
    freeze_and_stop(&*check, server.daemon()).await;
}

#[tokio::test]
async fn a_password_must_be_right_where_one_is_asked_for() {
    let required = format!("requirepass {SECRET}");
    let Some(server) = Redis::start_with(&[&required], &[]).await else { return };
    let right = server.url_of(&format!(":{SECRET}@"));
    assert_eq!(asked(&right, "").await, Ok(Detail::ok()));
    for (credentials, code) in [("", "NOAUTH"), (":not-the-one@", "WRONGPASS")] {
        let (spans, _guard) = Spans::record();
        let (reason, text) = failed(&server.url_of(credentials), "").await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.contains(code) && !text.contains("not-the-one"), "{text}");
        let span = spans.only();
        assert_eq!(attribute(&span, "db.response.status_code").as_deref(), Some(code));
        assert_eq!(attribute(&span, "error.type").as_deref(), Some("auth_failed"));
    }
}

#[tokio::test]
async fn a_user_without_info_is_judged_by_ping_alone_unless_an_option_needs_more() {
    let acl = format!("user default off\nuser app on >{SECRET} +ping\nuser mute on >{SECRET}\n");
    let files = [("users.acl", acl.as_str())];
    let Some(server) = Redis::start_with(&["aclfile users.acl"], &files).await else { return };
    let app = server.url_of(&format!("app:{SECRET}@"));
    assert_eq!(asked(&app, "").await, Ok(Detail::ok()));
    let mute = server.url_of(&format!("mute:{SECRET}@"));
    for (url, more, step) in [(&app, "expect.role = 'master'", "INFO"), (&mute, "", "PING")] {
        let (reason, text) = failed(url, more).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.contains(&format!("answered to {step}: NOPERM")), "{text}");
    }
}

#[tokio::test]
async fn a_password_that_a_server_repeats_is_not_shown() {
    let Some(server) = Redis::start_with(&["rename-command AUTH \"\""], &[]).await else { return };
    let repeated = server.ask(&format!("AUTH {SECRET}")).await;
    assert!(repeated.contains(SECRET), "{repeated}");
    let (reason, text) = failed(&server.url_of(&format!(":{SECRET}@")), "").await;
    assert_eq!(reason, Reason::AuthFailed);
    assert!(text.contains("'[secret]'") && !text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn a_server_that_loads_its_data_does_not_serve() {
    let settings = ["enable-debug-command yes", "rdbcompression no"];
    let Some(mut server) = Redis::start_with(&settings, &[]).await else { return };
    assert_eq!(server.ask("DEBUG POPULATE 1000 key 1024").await, "+OK\r\n");
    assert_eq!(server.ask("SAVE").await, "+OK\r\n");
    server.stop().await;
    // A tenth of a second for each key, so that it loads until it is killed.
    let slowly = ["key-load-delay 100000", "loading-process-events-interval-bytes 1024"];
    server.restart(&slowly).await;
    let (reason, text) = failed(&server.url(), "").await;
    assert_eq!(reason, Reason::NotServing, "{text}");
    assert!(text.contains("answered to PING: LOADING"), "{text}");
    server.kill();
}

#[tokio::test]
async fn a_replica_and_a_master_are_kept_apart_and_a_replica_warns_while_its_link_is_down() {
    let Some(mut master) = Redis::start().await else { return };
    let follow = format!("replicaof 127.0.0.1 {}", master.port());
    let start = async |more| Redis::start_with(&[&follow, more], &[]).await.expect("a replica");
    let replica = start("replica-serve-stale-data yes").await;
    let strict = start("replica-serve-stale-data no").await;
    for url in [replica.url(), strict.url()] {
        // Until its first synchronization is over, its link is down.
        wait_for("the link", async || asked(&url, "").await == Ok(Detail::ok())).await;
        assert_eq!(asked(&url, "expect.role = 'replica'").await, Ok(Detail::ok()));
    }
    assert_eq!(asked(&master.url(), "expect.role = 'master'").await, Ok(Detail::ok()));
    let (spans, _guard) = Spans::record();
    for (url, role, reported) in [
        (replica.url(), "master", "is a replica, not a master"),
        (master.url(), "replica", "is a master, not a replica"),
    ] {
        let (reason, text) = failed(&url, &format!("expect.role = '{role}'")).await;
        assert_eq!(reason, Reason::UnexpectedStatus);
        assert!(text.ends_with(reported), "{text}");
    }
    assert!(spans.ended().iter().all(|span| span.status == Status::Unset));

    master.stop().await;
    wait_for("the link to break", async || asked(&replica.url(), "").await != Ok(Detail::ok()))
        .await;
    let verdict = asked(&replica.url(), "expect.role = 'replica'").await.expect("it answers");
    assert_ne!(verdict, Detail::ok());
    assert!(format!("{verdict:?}").contains("the replication link is down"), "{verdict:?}");
    wait_for("the link to break", async || asked(&strict.url(), "").await.is_err()).await;
    let (reason, text) = failed(&strict.url(), "").await;
    assert_eq!(reason, Reason::NotServing);
    assert!(text.contains("MASTERDOWN"), "{text}");
}

#[tokio::test]
async fn the_memory_in_use_has_a_bound_where_the_server_has_one() {
    let Some(bounded) = Redis::start_with(&["maxmemory 100mb"], &[]).await else { return };
    assert_eq!(asked(&bounded.url(), "max_memory_ratio = 0.9").await, Ok(Detail::ok()));
    let (spans, _guard) = Spans::record();
    let (reason, text) = failed(&bounded.url(), "max_memory_ratio = 0.0001").await;
    assert_eq!(reason, Reason::OutOfRange);
    assert!(text.ends_with("of its memory, more than 0.0001"), "{text}");
    assert_eq!(spans.only().status, Status::Unset);
    let boundless = Redis::start().await.expect("another server");
    assert_eq!(asked(&boundless.url(), "max_memory_ratio = 0.0001").await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_server_with_all_the_clients_it_takes_is_overloaded() {
    let Some(server) = Redis::start_with(&["maxclients 2"], &[]).await else { return };
    let (mut held, mut refused) = (Vec::new(), None);
    wait_for("it to be full", async || {
        held.push(server.connect().await.expect("a connection"));
        refused = asked(&server.url(), "").await.err();
        refused.is_some()
    })
    .await;
    let refused = refused.expect("it is full");
    assert_eq!(refused.reason(), Reason::Overloaded, "{}", refused.message());
    assert!(refused.message().contains("max number of clients"), "{}", refused.message());
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_is_reported() {
    let Some(server) = Redis::start().await else { return };
    assert_eq!(asked(&format!("{}/15", server.url()), "").await, Ok(Detail::ok()));
    let (reason, text) = failed(&format!("{}/16", server.url()), "").await;
    assert_eq!(reason, Reason::QueryFailed);
    assert!(text.contains("answered to SELECT: ERR DB index is out of range"), "{text}");
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1");
    let port = free_port();
    let tls_port = format!("tls-port {port}");
    let settings =
        [&*tls_port, "tls-cert-file cert.pem", "tls-key-file key.pem", "tls-auth-clients no"];
    let files = [("cert.pem", identity.cert.as_str()), ("key.pem", identity.key.as_str())];
    let Some(_server) = Redis::start_with(&settings, &files).await else { return };
    let url = format!("rediss://127.0.0.1:{port}");
    for (ca, wanted) in [(&authority, None), (&Authority::new(), Some(Reason::TlsUntrusted))] {
        let ca = file(&ca.pem);
        let (spans, _guard) = Spans::record();
        let verdict = asked(&url, &format!("tls.ca = '{}'", ca.path().display())).await;
        assert_eq!(verdict.err().map(|failure| failure.reason()), wanted);
        assert_eq!(events(&spans.only())[..2], ["connect", "tls"]);
    }
}

#[test]
fn every_wrong_option_is_reported_without_the_url() {
    let wrong = format!("url = 'redis://:{SECRET}@cache:0'\nmax_memory_ratio = 90");
    let reported = errors("redis", &wrong);
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(
        reported[0].starts_with("url: its host or port is none; right is redis://"),
        "{reported:?}"
    );
    assert!(reported[1].starts_with("max_memory_ratio: this is no share; write a number above 0"));
    assert!(!format!("{reported:?}").contains(SECRET));
    for (options, option) in [
        ("url = 'redis://cache'\ntls = true", "tls: redis:// is asked without TLS"),
        ("url = 'valkeys://cache'\ntls = false", "tls: valkeys:// is asked with TLS"),
        ("url = 'unix:///run/redis.sock'\ntls = true", "tls: a Unix socket is used without TLS"),
        ("url = 'redis://one,two'", "url: it names several hosts, and this scheme has one"),
        ("url = 'redis://cache'\nsentinel_password = 'x'", "sentinel_password: the URL names no"),
        (
            "url = 'redis-sentinel://a/b'\nsentinel_username = 'x'",
            "sentinel_username: a user needs",
        ),
        (
            "url = 'redis-sentinel://a/b'\nexpect.role = 'replica'",
            "expect.role: sentinels name the",
        ),
        ("url = 'redis-cluster://a'\nexpect.role = 'master'", "expect.role: a cluster has masters"),
        ("url = 'redis-cluster://a'\nmax_memory_ratio = 0.9", "max_memory_ratio: each node of a"),
        ("url = 'redis://cache'\nexpect.role = 'slave'", "expect.role: "),
    ] {
        let reported = errors("redis", options);
        assert!(reported.len() == 1 && reported[0].starts_with(option), "{reported:?}");
    }
}
