//! The `mqtt` kind: whether a broker takes a client and answers its ping.
//!
//! It speaks the protocol itself, over one connection that belongs to the run: a client library
//! would connect again behind its back. Only messages could carry a trace context, in version 5,
//! and none is published, so none is sent.

mod options;
mod packet;

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::checks::broker::attributes;
use crate::config::{KindOptions, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Session, TlsClient};

pub(crate) use options::MqttOptions;
use options::Version;
use packet::{DISCONNECTING, PINGREQ, Packet, connack, connect, disconnection, packet, refusal};

/// A check of one broker, made of its options.
struct Mqtt {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    user: Option<String>,
    password: Option<Secret>,
    version: Version,
}

#[async_trait]
impl Check for Mqtt {
    fn kind(&self) -> &'static str {
        MqttOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = attributes("mqtt", "ping", &self.endpoint);
        attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "mqtt"));
        attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, self.version.word()));
        cx.client("ping", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Mqtt {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        let mut session = Session::new(&self.endpoint, "the protocol of MQTT", stream);
        cx.phase(Phase::Request, async {
            let password = self.password.as_ref().map(Secret::expose);
            let user = self.user.as_deref();
            let keep_alive = keep_alive(cx.remaining());
            session.send(&connect(self.version, &identifier(), user, password, keep_alive)).await;
            session.first_byte().await
        })
        .await?;
        cx.phase(Phase::Transfer, self.hear(&mut session)).await?;
        session.close().await;
        Ok(Detail::ok())
    }

    /// Reads what a broker answers to the client, and to its ping.
    async fn hear(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        match session.next(connack).await? {
            0 => {}
            code => return Err(self.refused("CONNECT", code, refusal(code))),
        }
        session.send(PINGREQ).await;
        loop {
            match session.next(packet).await? {
                Packet::Pingresp => break,
                Packet::Disconnect(code) => {
                    return Err(self.refused("PINGREQ", code, disconnection(code)));
                }
                // A broker may send what it likes to a client that has asked for nothing.
                Packet::Publish => {}
                Packet::Connack(_) => return Err(session.unexpected()),
            }
        }
        // Else the broker would take it for a loss of the connection, and log that.
        session.send(DISCONNECTING).await;
        Ok(())
    }

    fn refused(&self, step: &str, code: u8, (reason, name): (Reason, &str)) -> Failure {
        let text = format!("{} answered to {step}: {name} (0x{code:02x})", self.endpoint);
        Failure::new(reason, text)
    }
}

/// Seconds without a packet after which the broker may give the client up.
///
/// As many as the run may take, for brokers refuse those that ask for more than they allow: often a
/// minute. A minute is enough for longer runs as well, since brokers wait half as long again.
fn keep_alive(remaining: Duration) -> u16 {
    let seconds = remaining.as_secs().saturating_add(1).clamp(10, 60);
    u16::try_from(seconds).unwrap_or(60)
}

/// A client identifier that no other client has: two of one name throw each other out.
///
/// It is in the form that every broker takes, 23 letters and digits at most.
fn identifier() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("vitalsign{:014x}", random >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_have_the_form_that_every_broker_takes() {
        let [one, other] = [identifier(), identifier()];
        assert_ne!(one, other);
        assert!(one.len() == 23 && one.bytes().all(|b| b.is_ascii_alphanumeric()), "{one}");
    }

    #[test]
    fn no_more_keep_alive_is_asked_for_than_a_minute() {
        for (seconds, wanted) in [(0, 10), (2, 10), (20, 21), (59, 60), (600, 60), (u64::MAX, 60)] {
            assert_eq!(keep_alive(Duration::from_secs(seconds)), wanted);
        }
    }
}
