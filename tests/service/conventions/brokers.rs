//! The spans of checks of message brokers.

use opentelemetry_semantic_conventions::attribute as semconv;

use super::{Ends, Scene};
use crate::kinds::amqp;
use crate::kinds::kafka::script as kafka;
use crate::support::peer::{self, Peer};

#[tokio::test]
async fn brokers_follow_the_conventions() {
    let (_reserved, refusing) = peer::refusing();
    let mut scene = Scene::default();
    let answers: [(_, [&[u8]; 3]); 2] = [
        ("mqtt", [b"", b"\x20\x02\0\0\xd0\0", b"\x20\x02\0\x05"]),
        ("nats", [b"INFO {}\r\n", b"PONG\r\n", b"-ERR 'Authorization Violation'\r\n"]),
    ];
    let mut peers = Vec::new();
    for (kind, [hello, good, denying]) in answers {
        let refused = format!("url = \"{kind}://u:hunter2@{refusing}\"");
        scene.check(kind, "refused", Ends::Failed("connection_refused"), &refused);
        let ends = [("good", good, Ends::Good), ("denied", denying, Ends::Failed("auth_failed"))];
        for (case, answer, ends) in ends {
            let peer = Peer::start(peer::greeting(hello, answer)).await;
            let url = format!("url = \"{kind}://u:hunter2@{}\"", peer.address);
            scene.check(kind, case, ends, &url);
            peers.push(peer);
        }
    }

    let refused = format!("url = \"amqp://u:hunter2@{refusing}\"");
    scene.check("amqp", "refused", Ends::Failed("connection_refused"), &refused);
    let ok = Peer::start(peer::answering(amqp::answers(3))).await;
    let at = |peer: &Peer| format!("url = \"amqp://u:hunter2@{}\"\nqueue = \"q\"", peer.address);
    scene.check("amqp", "good", Ends::Good, &at(&ok));
    let bounded = format!("{}\nmax_messages = 2", at(&ok));
    scene.check("amqp", "bounded", Ends::Answered("out_of_range"), &bounded);
    let denying = Peer::start(peer::answering(amqp::denial())).await;
    scene.check("amqp", "denied", Ends::Failed("auth_failed"), &at(&denying));

    let refused = format!("url = \"kafka://u:hunter2@{refusing}\"");
    scene.check("kafka", "refused", Ends::Failed("connection_refused"), &refused);
    let script =
        kafka::but_one(kafka::METADATA, Some(kafka::metadata(1, 1, &[("q", 0, &[(1, 2)])])));
    let ok = Peer::start(script).await;
    let at = |peer: &Peer| format!("url = \"kafka://u:hunter2@{}\"\ntopic = \"q\"", peer.address);
    scene.check("kafka", "good", Ends::Good, &at(&ok));
    let few = format!("{}\nmin_brokers = 2", at(&ok));
    scene.check("kafka", "few", Ends::Answered("out_of_range"), &few);
    let script = kafka::but_one(kafka::SASL_AUTHENTICATE, Some(kafka::step(58, "no", "")));
    let denying = Peer::start(script).await;
    scene.check("kafka", "denied", Ends::Failed("auth_failed"), &at(&denying));

    let clients = scene.play().await;
    for (kind, system) in
        [("amqp", "rabbitmq"), ("kafka", "kafka"), ("mqtt", "mqtt"), ("nats", "nats")]
    {
        let said =
            clients[format!("{kind}-good").as_str()].attribute(super::names::MESSAGING_SYSTEM_NAME);
        assert_eq!(said.as_deref(), Some(system), "{kind}");
    }
    let destination = clients["amqp-good"].attribute(semconv::MESSAGING_DESTINATION_NAME);
    assert_eq!(
        (clients["amqp-good"].span.name.as_str(), destination.as_deref()),
        ("declare q", Some("q"))
    );
    assert!(!format!("{clients:?}").contains("hunter2"));
}
