//! The kinds that await the greeting of a protocol.

use std::sync::Arc;

use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Ends, Scene};
use crate::support::peer::{self, Peer, http_answer};

#[tokio::test]
async fn caches_follow_the_conventions() {
    let good = Peer::start(peer::answering("VERSION 1.6.18\r\nEND\r\n")).await;
    let denying = Peer::start(peer::answering("CLIENT_ERROR unauthenticated\r\n")).await;
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    for (case, at, ends) in [
        ("good", good.address, Ends::Good),
        ("denied", denying.address, Ends::Failed("auth_failed")),
        ("refused", refusing, Ends::Failed("connection_refused")),
    ] {
        scene.check("memcached", case, ends, &format!("address = \"{at}\""));
    }

    let clients = scene.play().await;
    let said = |name: &str, key| clients[name].attribute(key);
    assert_eq!(said("memcached-good", semconv::DB_SYSTEM_NAME).as_deref(), Some("memcached"));
    let code = said("memcached-denied", semconv::DB_RESPONSE_STATUS_CODE);
    assert_eq!(code.as_deref(), Some("CLIENT_ERROR"));
}

#[tokio::test]
async fn mail_follows_the_conventions() {
    let greeting = |text: &'static str| -> peer::Script {
        Arc::new(move |mut wire| {
            Box::pin(async move {
                wire.write_all(text.as_bytes()).await.ok()?;
                Some(wire)
            })
        })
    };
    let good = Peer::start(greeting("220 mail\r\n250 mail\r\n221 bye\r\n")).await;
    let closed = Peer::start(greeting("554 no service\r\n")).await;
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    for (case, at, ends) in [
        ("good", good.address, Ends::Good),
        ("closed", closed.address, Ends::Failed("not_serving")),
        ("refused", refusing, Ends::Failed("connection_refused")),
    ] {
        scene.check("smtp", case, ends, &format!("address = \"{at}\""));
    }
    let bare = format!("address = \"{}\"\nmode = \"starttls\"", good.address);
    scene.check("smtp", "bare", Ends::Answered("tls_failed"), &bare);

    let clients = scene.play().await;
    let protocol = clients["smtp-good"].attribute(semconv::NETWORK_PROTOCOL_NAME);
    assert_eq!(protocol.as_deref(), Some("smtp"));
}

#[tokio::test]
async fn websockets_follow_the_conventions() {
    let opened = |request: &str, frames: &[u8]| {
        let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let accept = derive_accept_key(key.expect("a key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        [head.as_bytes(), frames].concat()
    };
    let good = Peer::http(move |request| match request.split(' ').nth(1).unwrap_or_default() {
        "/" => opened(request, b"\x8a\x09vitalsign\x88\x02\x03\xe8"),
        "/closed" => opened(request, b"\x88\x02\x03\xe9"),
        "/other" => opened(request, b"\x81\x02no"),
        _ => http_answer("404 Not Found", "", ""),
    })
    .await;
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    let at = |path: &str| format!("url = \"ws://u:hunter2@{}{path}\"", good.address);
    scene.check("websocket", "good", Ends::Good, &at("/"));
    scene.check("websocket", "closed", Ends::Failed("not_serving"), &at("/closed"));
    scene.check("websocket", "missing", Ends::Failed("unexpected_status"), &at("/missing"));
    let other = at("/other") + "\nexpect.regex = \"yes\"";
    scene.check("websocket", "other", Ends::Answered("unexpected_body"), &other);
    let refused = format!("url = \"ws://{refusing}/\"");
    scene.check("websocket", "refused", Ends::Failed("connection_refused"), &refused);

    let clients = scene.play().await;
    let said = |name: &str, key| clients[name].attribute(key);
    let url = format!("ws://{}/", good.address);
    assert_eq!(said("websocket-good", semconv::URL_FULL), Some(url));
    let status = semconv::HTTP_RESPONSE_STATUS_CODE;
    assert_eq!(said("websocket-good", status).as_deref(), Some("IntValue(101)"));
    assert_eq!(said("websocket-missing", status).as_deref(), Some("IntValue(404)"));
    assert!(!format!("{clients:?}").contains("hunter2"));
}

#[tokio::test]
async fn document_stores_follow_the_conventions() {
    // As `bson.encode` of MongoDB's Python driver has them: hello of a member of no set, or of one
    // that recovers; ping; and code 18.
    let alone = b"\x25\0\0\0\x08isWritablePrimary\0\x01\x01ok\0\0\0\0\0\0\0\xf0?\0";
    let recovering = b"\x36\0\0\0\x08isWritablePrimary\0\0\x02setName\0\x04\0\0\0rs0\0\
        \x01ok\0\0\0\0\0\0\0\xf0?\0";
    let ping = b"\x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0?\0";
    let error = b"\x1b\0\0\0\x01ok\0\0\0\0\0\0\0\0\0\x10code\0\x12\0\0\0\0";
    let answers = |first: &[u8], second: &[u8]| {
        let message = |number: u8, document: &[u8]| {
            let length = u8::try_from(21 + document.len()).expect("it is short");
            let header =
                [length, 0, 0, 0, 9, 0, 0, 0, number, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0];
            [&header[..], document].concat()
        };
        peer::answering([message(1, first), message(2, second)].concat())
    };
    let good = Peer::start(answers(alone, ping)).await;
    let denying = Peer::start(answers(alone, error)).await;
    let resting = Peer::start(answers(recovering, ping)).await;
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    for (case, at, ends) in [
        ("good", good.address, Ends::Good),
        ("denied", denying.address, Ends::Failed("auth_failed")),
        ("resting", resting.address, Ends::Answered("not_serving")),
        ("refused", refusing, Ends::Failed("connection_refused")),
    ] {
        scene.check("mongodb", case, ends, &format!("url = \"mongodb://{at}\""));
    }
    let role = format!("url = \"mongodb://{}\"\nexpect.role = \"secondary\"", good.address);
    scene.check("mongodb", "role", Ends::Answered("unexpected_status"), &role);

    let clients = scene.play().await;
    let said = |name: &str, key| clients[name].attribute(key);
    assert_eq!(said("mongodb-good", semconv::DB_SYSTEM_NAME).as_deref(), Some("mongodb"));
    assert_eq!(said("mongodb-good", semconv::DB_NAMESPACE).as_deref(), Some("admin"));
    let code = said("mongodb-denied", semconv::DB_RESPONSE_STATUS_CODE);
    assert_eq!(code.as_deref(), Some("18"));
}
