//! The `amqp` kind: whether a broker of AMQP 0-9-1, such as RabbitMQ, lets a client in, and what
//! it tells of a queue.
//!
//! It speaks the protocol itself, over one connection that belongs to the run and that it ends in
//! order. Only messages have headers that could carry a trace context, and none is published, so
//! none is sent.

mod frame;
mod options;
mod queue;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::checks::broker::attributes;
use crate::config::{KindOptions, Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, MOST, Session, TlsClient};

use frame::{Close, Frame, Queue, parse};
pub(crate) use options::AmqpOptions;
use queue::Watched;

const PROTOCOL: &str = "the protocol of AMQP 0-9-1";

/// A check of one broker, made of its options.
struct Amqp {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    /// How to log in: `PLAIN` or `EXTERNAL`.
    mechanism: &'static str,
    /// What that mechanism sends.
    response: Secret,
    virtual_host: String,
    queue: Option<Watched>,
    redaction: Redaction,
}

/// A connection, and what the broker said beside its answers.
struct Connection<'a> {
    session: Session<'a>,
    /// Why it takes no messages.
    blocked: Option<String>,
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
        // The conventions know brokers by name, and this protocol by its most common one.
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
        let mut connection = Connection { session, blocked: None };
        cx.phase(Phase::Request, async {
            connection.session.send(frame::HEADER).await;
            connection.session.first_byte().await
        })
        .await?;
        let found = cx.phase(Phase::Transfer, self.converse(&mut connection)).await?;
        if let (Some(watched), Some(found)) = (&self.queue, found) {
            watched.judge(cx, &found?)?;
        }
        Ok(match connection.blocked {
            None => Detail::ok(),
            Some(why) => {
                let why = net::brief(self.redaction.clean(&why));
                Detail::warning(format!("{} takes no messages: {why}", self.endpoint))
            }
        })
    }

    /// Logs in, opens the virtual host, asks for the queue, and takes leave. A queue that is refused
    /// ends its channel alone, so that the farewell is in order even then.
    async fn converse(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Option<Result<Queue, Failure>>, Failure> {
        self.log_in(connection).await?;
        let found = match &self.queue {
            None => None,
            Some(watched) => Some(self.look(connection, &watched.name).await?),
        };
        self.part(connection).await?;
        Ok(found)
    }

    async fn log_in(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        let Frame::Start { version, mechanisms } = self.next(connection).await? else {
            return Err(connection.session.unexpected());
        };
        if version != (0, 9) {
            let (major, minor) = version;
            return Err(self.another_version(&format!("{major}-{minor}")));
        }
        if !mechanisms.split(' ').any(|offered| offered == self.mechanism) {
            let text = format!("{} does not offer the login {}", self.endpoint, self.mechanism);
            return Err(Failure::new(Reason::AuthFailed, text).answered());
        }
        connection.session.send(&frame::start_ok(self.mechanism, self.response.expose())).await;
        let Frame::Tune { channels, frame } = self.next(connection).await? else {
            return Err(connection.session.unexpected());
        };
        connection
            .session
            .send(&frame::tune_ok_and_open(channels, frame, &self.virtual_host))
            .await;
        match self.next(connection).await? {
            Frame::Opened => Ok(()),
            _ => Err(connection.session.unexpected()),
        }
    }

    /// What the broker tells of a queue, or why it tells nothing.
    async fn look(
        &self,
        connection: &mut Connection<'_>,
        queue: &str,
    ) -> Result<Result<Queue, Failure>, Failure> {
        connection.session.send(&frame::open_channel_and_declare(queue)).await;
        let Frame::ChannelOpened = self.next(connection).await? else {
            return Err(connection.session.unexpected());
        };
        match self.next(connection).await? {
            Frame::Declared(found) => Ok(Ok(found)),
            Frame::ChannelClosed(refusal) => {
                connection.session.send(&frame::channel_close_ok()).await;
                Ok(Err(self.refused(&refusal)))
            }
            _ => Err(connection.session.unexpected()),
        }
    }

    /// Takes leave; by then the broker has shown that it serves, so it may go without a word.
    async fn part(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        connection.session.send(&frame::close()).await;
        match self.next(connection).await {
            Ok(Frame::CloseOk) => Ok(()),
            Ok(_) => Err(connection.session.unexpected()),
            Err(failure) if failure.reason() == Reason::ConnectionReset => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The next answer; what the broker says unasked is noted.
    async fn next(&self, connection: &mut Connection<'_>) -> Result<Frame, Failure> {
        loop {
            match connection.session.next(|bytes| parse(bytes, MOST)).await? {
                Frame::Heartbeat => {}
                Frame::Blocked(why) => connection.blocked = Some(why),
                Frame::Unblocked => connection.blocked = None,
                Frame::Closed(refusal) => {
                    connection.session.send(&frame::close_ok()).await;
                    return Err(self.refused(&refusal));
                }
                Frame::Version(version) => return Err(self.another_version(&version)),
                said => return Ok(said),
            }
        }
    }

    fn refused(&self, Close { code, text }: &Close) -> Failure {
        let reason = reason(*code, text);
        let text = net::brief(self.redaction.clean(text));
        Failure::new(reason, format!("{} answered: {code} {text}", self.endpoint))
    }

    fn another_version(&self, version: &str) -> Failure {
        let text = format!("{} speaks AMQP {version}, not 0-9-1", self.endpoint);
        Failure::new(Reason::Protocol, text)
    }
}

/// What a reply code (section 1.2 of the specification) stands for, and RabbitMQ's text where the
/// code alone does not tell.
fn reason(code: u16, text: &str) -> Reason {
    match code {
        // Not allowed: a virtual host that is missing, full, or closed to this user. The ends of the
        // texts, since names of users and virtual hosts stand in the middle of them.
        530 if text.ends_with("not found") => Reason::NotServing,
        530 if text.ends_with("is reached") => Reason::Overloaded,
        403 | 530 => Reason::AuthFailed,
        // Shutting down; no such queue, or its node is away; a virtual host that is down.
        320 | 402 | 404 | 541 => Reason::NotServing,
        311 | 506 => Reason::Overloaded,
        405 | 406 => Reason::QueryFailed,
        501..=505 | 540 => Reason::Protocol,
        _ => Reason::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_refusal_stands_for_a_reason() {
        for (code, text, wanted) in [
            (403, "ACCESS_REFUSED - Login was refused", Reason::AuthFailed),
            (530, "NOT_ALLOWED - vhost nope not found", Reason::NotServing),
            (
                530,
                "NOT_ALLOWED - access to vhost 'not found' refused for user 'is reached'",
                Reason::AuthFailed,
            ),
            (
                530,
                "NOT_ALLOWED - access to vhost '/' refused for user 'app': connection limit (1) is reached",
                Reason::Overloaded,
            ),
            (541, "INTERNAL_ERROR - vhost '/' is down", Reason::NotServing),
            (320, "CONNECTION_FORCED - broker forced connection closure", Reason::NotServing),
            (404, "NOT_FOUND - no queue 'orders' in vhost '/'", Reason::NotServing),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access", Reason::QueryFailed),
            (503, "COMMAND_INVALID", Reason::Protocol),
            (313, "NO_CONSUMERS", Reason::Other),
        ] {
            assert_eq!(reason(code, text), wanted, "{text}");
        }
    }

    /// What a run holds while it waits, times the thousands that may wait at once.
    #[tokio::test]
    async fn a_run_takes_little_memory() {
        let options = "url = 'amqp://127.0.0.1:1'\nqueue = 'orders'";
        let options: AmqpOptions = toml::from_str(options).unwrap();
        let check = options.make().unwrap();
        let cx = Context::new(Instant::now() + Duration::from_secs(1), None);
        let (run, ask) = (size_of_val(&*check.run(&cx)), size_of_val(&check.ask(&cx)));
        assert!(run + ask < 4096, "{run} and {ask} bytes");
    }
}
