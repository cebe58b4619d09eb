//! The `amqp` kind: logs in to an AMQP 0-9-1 broker, such as RabbitMQ, and optionally checks a
//! queue.
//!
//! It speaks the protocol itself, over one connection per run, which it closes with the protocol's
//! handshake. Only messages have headers for a trace context, and it publishes no message, so it
//! sends no trace context.

mod connection;
mod frame;
mod options;
mod queue;
mod reason;
mod request;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::checks::broker::attributes;
use crate::config::{KindOptions, Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Session, TlsClient};

use connection::Connection;
use frame::Frame;
pub(crate) use options::AmqpOptions;
use queue::{ExpectedQueue, Found};

const PROTOCOL: &str = "the protocol of AMQP 0-9-1";

/// A check of one broker, made of its options.
struct Amqp {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    /// How to log in: `PLAIN` or `EXTERNAL`.
    mechanism: &'static str,
    /// The response of that mechanism.
    response: Secret,
    virtual_host: String,
    queue: Option<ExpectedQueue>,
    redaction: Redaction,
}

#[async_trait]
impl Check for Amqp {
    fn kind(&self) -> &'static str {
        AmqpOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let operation = if self.queue.is_some() { "declare" } else { "open" };
        // The semantic conventions have names of brokers only; this protocol gets that of its most
        // common broker.
        let mut attributes = attributes("rabbitmq", operation, &self.endpoint);
        attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "amqp"));
        attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, "0.9.1"));
        let mut name = operation.to_owned();
        if let Some(queue) = &self.queue {
            attributes.push(KeyValue::new(semconv::MESSAGING_DESTINATION_NAME, queue.name.clone()));
            name = format!("{operation} {}", queue.name);
        }
        cx.client(&name, attributes, Box::pin(self.ask(cx))).await
    }
}

impl Amqp {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        let session = Session::new(&self.endpoint, PROTOCOL, stream);
        let mut connection = Connection::new(&self.endpoint, &self.redaction, session);
        cx.phase(Phase::Request, async {
            connection.send(request::PROTOCOL_HEADER).await;
            connection.first_byte().await
        })
        .await?;
        let (found, blocked) = cx.phase(Phase::Transfer, self.converse(cx, connection)).await?;
        let detail = match (&self.queue, found) {
            (Some(queue), Some(found)) => queue.judge(cx, &found)?,
            _ => Detail::ok(),
        };
        Ok(match blocked {
            None => detail,
            Some(why) => {
                let why = net::brief(self.redaction.clean(&why));
                Detail::warning(format!("{} takes no messages: {why}", self.endpoint))
            }
        })
    }

    /// Logs in, opens the virtual host, checks the queue, and closes the connection with the
    /// protocol's handshake. It does so even after the queue was refused, because that closes only
    /// the channel.
    ///
    /// Returns the result for the queue, and why the broker accepts no messages.
    async fn converse(
        &self,
        cx: &Context,
        mut connection: Connection<'_>,
    ) -> Result<(Option<Found>, Option<String>), Failure> {
        let is_rabbitmq = self.log_in(&mut connection).await?;
        let found = match &self.queue {
            None => Ok(None),
            Some(queue) => Box::pin(queue.find(cx, &mut connection, is_rabbitmq)).await.map(Some),
        };
        let blocked = connection.close(cx).await;
        found.map(|found| (found, blocked))
    }

    /// Logs in and opens the virtual host; whether the broker is RabbitMQ.
    async fn log_in(&self, connection: &mut Connection<'_>) -> Result<bool, Failure> {
        let Frame::Start { version, mechanisms, is_rabbitmq } = connection.next().await? else {
            return Err(connection.unexpected());
        };
        if version != (0, 9) {
            let (major, minor) = version;
            return Err(connection.another_version(&format!("{major}-{minor}")));
        }
        if !mechanisms.split(' ').any(|offered| offered == self.mechanism) {
            let text = format!("{} does not offer the login {}", self.endpoint, self.mechanism);
            return Err(Failure::new(Reason::AuthFailed, text).answered());
        }
        connection.send(&request::start_ok(self.mechanism, self.response.expose())).await;
        let Frame::Tune { channels, frame } = connection.next().await? else {
            return Err(connection.unexpected());
        };
        connection.send(&request::tune_ok_and_open(channels, frame, &self.virtual_host)).await;
        match connection.next().await? {
            Frame::Opened => Ok(is_rabbitmq),
            _ => Err(connection.unexpected()),
        }
    }
}
