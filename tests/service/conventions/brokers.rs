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
    let refused = format!("url = \"nats://u:hunter2@{refusing}\"");
    scene.check("nats", "refused", Ends::Failed("connection_refused"), &refused);
    let ok = Peer::start(peer::greeting(b"INFO {}\r\n", "PONG\r\n")).await;
    scene.check("nats", "good", Ends::Good, &format!("url = \"nats://{}\"", ok.address));
    let refusal = "-ERR 'Authorization Violation'\r\n";
    let denying = Peer::start(peer::greeting(b"INFO {}\r\n", refusal)).await;
    let denied = format!("url = \"nats://u:hunter2@{}\"", denying.address);
    scene.check("nats", "denied", Ends::Failed("auth_failed"), &denied);

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
    for (name, system) in
        [("nats-good", "nats"), ("amqp-good", "rabbitmq"), ("kafka-good", "kafka")]
    {
        let said = clients[name].attribute(semconv::MESSAGING_SYSTEM);
        assert_eq!(said.as_deref(), Some(system));
    }
    let destination = clients["amqp-good"].attribute(semconv::MESSAGING_DESTINATION_NAME);
    assert_eq!(
        (clients["amqp-good"].span.name.as_str(), destination.as_deref()),
        ("declare q", Some("q"))
    );
    assert!(!format!("{clients:?}").contains("hunter2"));
}
