//! The `mqtt` kind: connects to a broker, logs in and sends a ping.
//!
//! It speaks the protocol itself, over one connection per run: a client library would reconnect by
//! itself. Only messages of version 5 can carry a trace context, and it publishes no message, so it
//! sends no trace context.

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

    /// Reads the broker's answers to `CONNECT` and to the ping.
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
                // A broker may send other packets without a request.
                Packet::Publish => {}
                Packet::Connack(_) => return Err(session.unexpected()),
            }
        }
        // Without it the broker would log a lost connection.
        session.send(DISCONNECTING).await;
        Ok(())
    }

    fn refused(&self, step: &str, code: u8, (reason, name): (Reason, &str)) -> Failure {
        let text = format!("{} answered to {step}: {name} (0x{code:02x})", self.endpoint);
        Failure::new(reason, text)
    }
}

/// Keep-alive in seconds: the broker may drop the client after one and a half times this time
/// without a packet.
///
/// It is the timeout of the run, but at most a minute: brokers refuse clients that want more than
/// they allow, which is often a minute. A minute is enough for longer runs as well.
fn keep_alive(remaining: Duration) -> u16 {
    let seconds = remaining.as_secs().saturating_add(1).clamp(10, 60);
    u16::try_from(seconds).unwrap_or(60)
}

/// A unique client identifier: a broker disconnects a client when another one connects with its
/// identifier.
///
/// It has at most 23 letters and digits, which every broker accepts.
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
