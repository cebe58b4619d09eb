//! The `websocket` kind against a server that somebody else wrote: Python's websockets.

use tempfile::NamedTempFile;

use super::*;
use crate::support::certs::{Authority, file};
use crate::support::checks::freeze_and_stop;
use crate::support::python::Server;

/// websockets, on a port without TLS and on one with it.
async fn websockets() -> Option<Server> {
    Server::start("websockets", "websocket_server.py", ["app", SECRET]).await
}

fn at(server: &Server, path: &str) -> String {
    format!("url = 'ws://127.0.0.1:{}{path}'", server.plain)
}

fn secure(server: &Server, ca: &NamedTempFile) -> String {
    format!("url = 'wss://127.0.0.1:{}/'\ntls.ca = '{}'", server.tls, ca.path().display())
}

async fn asked(options: &str) -> Result<Detail, Failure> {
    ask(&*check("websocket", options), PATIENT).await
}

async fn failed(options: &str) -> (Reason, String) {
    let failure = asked(options).await.expect_err("the run fails");
    (failure.reason(), failure.message().to_owned())
}

#[tokio::test]
async fn a_ping_or_a_message_is_answered() {
    let Some(server) = websockets().await else { return };
    let url = at(&server, "/");
    let echo = format!("{url}\nsend = 'how are you'\nexpect.regex = '^how are you$'");
    let chat = format!("{url}\nsubprotocol = 'chat'");
    for options in [&url, &echo, &chat, &at(&server, "/long")] {
        let answer = asked(options).await;
        let long = options.contains("long");
        assert_eq!(answer.map_err(|f| f.reason()).err(), long.then_some(Reason::TooLarge));
    }
    let (reason, text) = failed(&format!("{url}\nsend = 'a'\nexpect.regex = 'b'")).await;
    assert_eq!(reason, Reason::UnexpectedBody, "{text}");
    let (reason, text) = failed(&at(&server, "/full")).await;
    assert_eq!(reason, Reason::Overloaded, "{text}");
    let (reason, text) = failed(&format!("{url}\nsubprotocol = 'mqtt'")).await;
    assert_eq!(reason, Reason::UnexpectedBody, "{text}");
}

#[tokio::test]
async fn credentials_must_be_right_where_some_are_asked_for() {
    let Some(server) = websockets().await else { return };
    let url = at(&server, "/private");
    assert_eq!(
        asked(&url.replace("ws://", &format!("ws://app:{SECRET}@"))).await,
        Ok(Detail::ok())
    );
    for options in
        [url.clone(), url.replace("ws://", "ws://app:not-the-one@"), at(&server, "/forbidden")]
    {
        let (reason, text) = failed(&options).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(!text.contains("not-the-one"), "{text}");
    }
}

#[tokio::test]
async fn trace_context_reaches_the_server() {
    let Some(server) = websockets().await else { return };
    let (spans, _guard) = Spans::record();
    let cx = Context::new(Instant::now() + PATIENT, Some(Arc::new(TraceContextPropagator::new())));
    let options = format!("{}\nexpect.regex = '^00-[0-9a-f]{{32}}-'", at(&server, "/trace"));
    assert_eq!(check("websocket", &options).run(&cx).await, Ok(Detail::ok()));
    assert_eq!(spans.only().status, Status::Unset);
    let cx = Context::new(Instant::now() + PATIENT, None);
    let failure = check("websocket", &options).run(&cx).await.expect_err("none is sent");
    assert_eq!(failure.reason(), Reason::UnexpectedBody);
}

#[tokio::test]
async fn tls_is_verified() {
    let Some(server) = websockets().await else { return };
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&secure(&server, &server.ca)).await, Ok(Detail::ok()));
    assert_eq!(events(&spans.only()), ["connect", "tls", "request", "transfer"]);
    let strangers = file(&Authority::new().pem);
    assert_eq!(failed(&secure(&server, &strangers)).await.0, Reason::TlsUntrusted);
    let name = format!("{}\ntls.server_name = 'orders'", secure(&server, &server.ca));
    assert_eq!(failed(&name).await.0, Reason::TlsNameMismatch);
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(server) = websockets().await else { return };
    let check = check("websocket", &at(&server, "/"));
    freeze_and_stop(&*check, server.daemon).await;
}
