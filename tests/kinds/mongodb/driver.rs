//! Against a peer that MongoDB's own Python driver encodes for, and finds right.

use std::process::Stdio;

use super::*;
use crate::support::certs::{Authority, file};
use crate::support::checks::freeze_and_stop;
use crate::support::python::{Server, interpreter};

/// The peer, on a port without TLS and on one with it.
async fn pymongo() -> Option<Server> {
    Server::start("pymongo", "mongodb_server.py", ["a,p=p", SECRET]).await
}

/// The URL of the peer as the `application` has it.
fn url(server: &Server, application: &str) -> String {
    format!("mongodb://127.0.0.1:{}/?appName={application}", server.plain)
}

/// The same with a login by `password`.
fn login(server: &Server, application: &str, password: &str) -> String {
    let user = format!("mongodb://a%2Cp%3Dp:{password}@");
    url(server, application).replace("mongodb://", &user) + "&authSource=users"
}

async fn asked(url: &str, more: &str) -> Result<Detail, Failure> {
    ask(&*check("mongodb", &format!("url = '{url}'\n{more}")), PATIENT).await
}

async fn failed(url: &str, more: &str) -> (Reason, String) {
    let failure = asked(url, more).await.expect_err("the run fails");
    (failure.reason(), failure.message().to_owned())
}

/// The peer itself: what it is worth, these tests are.
#[tokio::test]
async fn the_driver_takes_the_peer_for_a_server() {
    // One interpreter for all of them: it takes longer to start than to ask.
    const DRIVER: &str = "import sys, pymongo, pymongo.errors, pymongo.server_api as api\n\
        for url in sys.argv[1:]:\n\
        \x20 client = pymongo.MongoClient(url, directConnection=True, server_api=api.ServerApi('1'))\n\
        \x20 try: print(client.admin.command('ping')['ok'])\n\
        \x20 except pymongo.errors.OperationFailure as error: print(error.code)\n";
    let Some(server) = pymongo().await else { return };
    let (urls, reported): (Vec<_>, Vec<_>) = [
        (login(&server, "locked", SECRET), "1.0"),
        (login(&server, "both", SECRET), "1.0"),
        (login(&server, "older%20mechanism", SECRET), "1.0"),
        (login(&server, "silent%20about%20mechanisms", SECRET), "1.0"),
        (login(&server, "older%20mechanism", "not-the-one"), "18"),
        (login(&server, "locked", "not-the-one"), "18"),
        (url(&server, "locked"), "13"),
    ]
    .into_iter()
    .unzip();
    let python = interpreter("pymongo").expect("it was there");
    let mut command = tokio::process::Command::new(python);
    let command = command.args(["-c", DRIVER]).args(urls).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.expect("Python");
    let text = String::from_utf8_lossy(&output.stdout);
    let said: Vec<_> = text.lines().collect();
    assert_eq!(said, reported, "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_login_must_be_right_where_one_is_asked_for() {
    let Some(server) = pymongo().await else { return };
    for application in
        ["locked", "long-winded", "both", "older%20mechanism", "silent%20about%20mechanisms"]
    {
        let url = login(&server, application, SECRET);
        assert_eq!(asked(&url, "").await, Ok(Detail::ok()), "{application}");
    }
    // The URL may name the mechanism.
    for (application, mechanism) in [
        ("both", "SCRAM-SHA-1"),
        ("both", "SCRAM-SHA-256"),
        ("silent%20about%20mechanisms", "SCRAM-SHA-1"),
    ] {
        let url = login(&server, application, SECRET) + "&authMechanism=" + mechanism;
        assert_eq!(asked(&url, "").await, Ok(Detail::ok()), "{application} {mechanism}");
    }
    let right = login(&server, "locked", SECRET);
    for (url, reported) in [
        (login(&server, "locked", "not-the-one"), "answered 18 to saslContinue: Authentication"),
        (
            login(&server, "older%20mechanism", "not-the-one"),
            "answered 18 to saslContinue: Authentication",
        ),
        (
            right.replace("p%3Dp", "somebody") + "&authMechanism=SCRAM-SHA-256",
            "answered 18 to saslContinue: Authentication",
        ),
        (right.replace("authSource=users", "authSource=others"), "answered 18 to saslStart"),
        (login(&server, "without%20SCRAM-SHA-256", SECRET), "answered 334 to saslStart: Mechanism"),
        (url(&server, "locked"), "answered 13 to ping: Unauthorized"),
    ] {
        let (reason, text) = failed(&url, "").await;
        assert_eq!(reason, Reason::AuthFailed, "{text}");
        assert!(text.contains(reported) && !text.contains("not-the-one"), "{text}");
    }
}

#[tokio::test]
async fn each_role_is_kept_apart_from_the_others() {
    let Some(server) = pymongo().await else { return };
    for (application, roles) in [
        ("primary", &["any", "primary"][..]),
        ("secondary", &["any", "secondary"]),
        ("arbiter", &["any"]),
        ("router", &["any", "primary"]),
        ("alone", &["any", "primary"]),
        // It knows `isMaster` and no `hello`.
        ("old", &["any", "primary"]),
    ] {
        for role in ["any", "primary", "secondary"] {
            let (spans, _guard) = Spans::record();
            let answer =
                asked(&url(&server, application), &format!("expect.role = '{role}'")).await;
            let expected = (!roles.contains(&role)).then_some(Reason::UnexpectedStatus);
            assert_eq!(answer.map_err(|f| f.reason()).err(), expected, "{application}, {role}");
            assert_eq!(spans.only().status, Status::Unset);
        }
    }
    let (_, text) = failed(&url(&server, "secondary"), "expect.role = 'primary'").await;
    assert!(text.ends_with(" is a secondary, and takes no writes"), "{text}");
}

#[tokio::test]
async fn a_member_of_another_set_is_not_the_one_expected() {
    let Some(server) = pymongo().await else { return };
    for (application, set, expected) in [
        ("primary", "rs0", None),
        ("primary", "rs1", Some(Reason::UnexpectedStatus)),
        ("alone", "rs0", Some(Reason::UnexpectedStatus)),
    ] {
        let url = format!("{}&replicaSet={set}", url(&server, application));
        let answer = asked(&url, "").await;
        assert_eq!(answer.map_err(|f| f.reason()).err(), expected, "{application}, {set}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_serve_says_so() {
    let Some(server) = pymongo().await else { return };
    for (application, reason, reported) in [
        ("recovering", Reason::NotServing, "is neither primary nor secondary nor arbiter"),
        ("uninitiated", Reason::NotServing, "is a member of a replica set that is not initiated"),
        ("starting", Reason::NotServing, "answered 13436 to hello: NotPrimaryOrSecondary"),
        ("stopping", Reason::NotServing, "answered 91 to ping: ShutdownInProgress"),
        ("interrupted", Reason::NotServing, "answered 11600 to ping"),
        ("failing", Reason::QueryFailed, "answered 1 to ping: InternalError: something broke"),
        ("another%20protocol", Reason::QueryFailed, "answered 59 to hello: CommandNotFound"),
        ("silent%20about%20itself", Reason::UnexpectedBody, "does not tell what it is"),
    ] {
        let (found, text) = failed(&url(&server, application), "").await;
        assert_eq!(found, reason, "{text}");
        assert!(text.contains(reported), "{text}");
    }
}

#[tokio::test]
async fn tls_is_spoken_where_the_url_or_the_option_asks_for_it_and_is_verified() {
    let Some(server) = pymongo().await else { return };
    let url = format!("mongodb://127.0.0.1:{}", server.tls);
    let ca = format!("tls.ca = '{}'", server.ca.path().display());
    for url in [url.clone(), format!("{url}/?tls=true"), format!("{url}/?ssl=true")] {
        let (spans, _guard) = Spans::record();
        assert_eq!(asked(&url, &ca).await, Ok(Detail::ok()));
        assert_eq!(events(&spans.only()), ["connect", "tls", "request", "transfer"]);
    }
    let strangers = file(&Authority::new().pem);
    let ca = format!("tls.ca = '{}'", strangers.path().display());
    assert_eq!(failed(&url, &ca).await.0, Reason::TlsUntrusted);
    // The URL alone, with the system's authorities.
    assert_eq!(failed(&format!("{url}/?tls=true"), "").await.0, Reason::TlsUntrusted);
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(server) = pymongo().await else { return };
    let check = check("mongodb", &format!("url = '{}'", url(&server, "alone")));
    freeze_and_stop(&*check, server.daemon).await;
}
