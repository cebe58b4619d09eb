//! The kinds that await the greeting of a protocol.

use std::sync::Arc;

use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;

use super::{Ends, Scene};
use crate::support::peer::{self, Peer};

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
