//! Checks a queue: its existence, its messages and its consumers.
//!
//! # Zero may mean unknown
//! RabbitMQ answers a passive declaration with the number of waiting messages and of consumers. If
//! it cannot find them out, it answers 0 and 0, for example for a quorum queue whose leader is gone
//! after the loss of its majority. So 0 and 0 count as a measurement only after `basic.get` was
//! answered, because a queue without majority does not answer it. An empty queue answers it at once
//! and loses nothing; a message that arrived in between is put back.
//!
//! # Streams
//! For a stream, the count of messages is everything that it retains, and the count of consumers is
//! always 0. Nothing in the answer says that the queue is a stream. `basic.get` on a stream is
//! refused, and the refusal names the type. Before a count of 0 consumers with messages fails a
//! run, the queue is declared with a type that does not exist: this always fails, and the refusal
//! names the real type of the queue. Both make the broker log an error, so their result is
//! remembered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::time::timeout;

use crate::engine::check::{Context, Detail, Failure};
use crate::model::{Measurement, Reason};

use super::connection::Connection;
use super::frame::{Frame, QueueCounts};
use super::request::{self, Value, push_argument};

/// How many messages wait.
pub(super) static MESSAGES: Measurement = Measurement {
    name: "queue_messages",
    help: "Messages that wait in a queue, those handed to a consumer not counted.",
};

/// How many consumers there are.
pub(super) static CONSUMERS: Measurement =
    Measurement { name: "queue_consumers", help: "Consumers of a queue." };

/// Highest number of arguments of a queue that are repeated to learn its type.
const MOST_ARGUMENTS: usize = 8;

/// A queue, the expectations, and what earlier runs learned about it.
#[derive(Debug, Default)]
pub(super) struct ExpectedQueue {
    pub(super) name: String,
    pub(super) max_messages: Option<u32>,
    pub(super) min_consumers: Option<u32>,
    /// It is a stream.
    is_stream: AtomicBool,
    /// Whether it is a stream is known.
    knows_type: AtomicBool,
    /// This user may not read it.
    unreadable: AtomicBool,
}

/// What a broker reports of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Measured numbers.
    Counts(QueueCounts),
    /// A stream, which has no such numbers.
    Stream,
    /// Two zeros that could not be confirmed.
    Unconfirmed,
}

impl ExpectedQueue {
    pub(super) fn new(name: String, max_messages: Option<u32>, min_consumers: Option<u32>) -> Self {
        Self { name, max_messages, min_consumers, ..Self::default() }
    }

    /// Asks the broker for the queue.
    pub(super) async fn find(
        &self,
        cx: &Context,
        connection: &mut Connection<'_>,
        is_rabbitmq: bool,
    ) -> Result<Found, Failure> {
        connection.open_channel().await?;
        connection.send(&request::declare_passively(&self.name)).await;
        let counts = match connection.next().await? {
            Frame::Declared(counts) => counts,
            Frame::ChannelClosed(close) => {
                self.forget();
                return Err(connection.channel_refused(&close).await);
            }
            _ => return Err(connection.unexpected()),
        };
        if counts.consumers > 0 {
            self.is_stream.store(false, Relaxed);
            self.knows_type.store(true, Relaxed);
        }
        // The behaviour described above is that of RabbitMQ.
        if counts.consumers > 0 || !is_rabbitmq {
            return Ok(Found::Counts(counts));
        }
        if self.is_stream.load(Relaxed) {
            return Ok(Found::Stream);
        }
        if counts.messages == 0 {
            return self.confirm(cx, connection).await;
        }
        if self.objection(counts).is_some() && !self.knows_type.swap(true, Relaxed) {
            let is_stream = self.asks_whether_stream(connection).await?;
            self.is_stream.store(is_stream, Relaxed);
            if is_stream {
                return Ok(Found::Stream);
            }
        }
        Ok(Found::Counts(counts))
    }

    /// Forgets what was learned: the name may belong to another queue from now on.
    fn forget(&self) {
        for learned in [&self.is_stream, &self.knows_type, &self.unreadable] {
            learned.store(false, Relaxed);
        }
    }

    /// Confirms that there are no messages and no consumers.
    async fn confirm(
        &self,
        cx: &Context,
        connection: &mut Connection<'_>,
    ) -> Result<Found, Failure> {
        if self.unreadable.load(Relaxed) {
            return Ok(Found::Unconfirmed);
        }
        connection.send(&request::get(&self.name)).await;
        // A queue without majority may leave it unanswered.
        let answer = timeout(cx.remaining() / 2, connection.next_or_close()).await;
        let Ok(answer) = answer else { return Err(self.unanswered()) };
        let empty = Found::Counts(QueueCounts { messages: 0, consumers: 0 });
        match answer? {
            Frame::GetEmpty => Ok(empty),
            Frame::GetOk { delivery_tag, messages } => {
                connection.send(&request::requeue(delivery_tag)).await;
                let messages = messages.saturating_add(1);
                Ok(Found::Counts(QueueCounts { messages, consumers: 0 }))
            }
            Frame::ChannelClosed(close) => {
                let failure = connection.channel_refused(&close).await;
                match close.code {
                    403 => {
                        self.unreadable.store(true, Relaxed);
                        Ok(Found::Unconfirmed)
                    }
                    // The queue itself has said that it has a single active consumer.
                    405 => Ok(empty),
                    _ => Err(failure),
                }
            }
            Frame::Closed(close) if close.code == 540 => {
                self.is_stream.store(true, Relaxed);
                Ok(Found::Stream)
            }
            Frame::Closed(close) => Err(connection.refused(&close)),
            _ => Err(connection.unexpected()),
        }
    }

    /// Whether the refusal of a type that does not exist says that the queue is a stream.
    ///
    /// A refusal names one argument at a time, so those that it names are repeated.
    async fn asks_whether_stream(&self, connection: &mut Connection<'_>) -> Result<bool, Failure> {
        let mut arguments = Vec::new();
        push_argument(&mut arguments, "x-queue-type", &Value::Text("none".to_owned()));
        for _ in 0..MOST_ARGUMENTS {
            connection.send(&request::declare_durable(&self.name, &arguments)).await;
            let Frame::ChannelClosed(close) = connection.next().await? else {
                return Err(connection.unexpected());
            };
            connection.channel_refused(&close).await;
            match inequivalent(&close.text) {
                Some((name, Value::Number(_) | Value::Bool(_)))
                    if name.starts_with("x-stream-") =>
                {
                    return Ok(true);
                }
                Some(("x-queue-type", Value::Text(current))) => return Ok(current == "stream"),
                Some((name, value)) if name.starts_with("x-") => {
                    push_argument(&mut arguments, name, &value);
                }
                // Streams are durable, and this user may be refused.
                _ => return Ok(false),
            }
            connection.open_channel().await?;
        }
        Ok(false)
    }

    fn unanswered(&self) -> Failure {
        let text = format!(
            "the queue {} does not answer basic.get, and the 0 messages and 0 consumers that the \
             broker reports are no measurement; a quorum queue without majority is so",
            self.name
        );
        Failure::new(Reason::NotServing, text).answered()
    }

    /// Measures what was found and judges it.
    pub(super) fn judge(&self, cx: &Context, found: &Found) -> Result<Detail, Failure> {
        let name = &self.name;
        match found {
            Found::Counts(counts) => {
                cx.measure(&MESSAGES, counts.messages.into());
                cx.measure(&CONSUMERS, counts.consumers.into());
                match self.objection(*counts) {
                    Some(text) => Err(Failure::new(Reason::OutOfRange, text).answered()),
                    None => Ok(Detail::ok()),
                }
            }
            Found::Stream => Ok(match self.options() {
                "" => Detail::ok(),
                options => Detail::warning(format!(
                    "the queue {name} is a stream, of which the broker reports neither waiting \
                     messages nor consumers; leave out {options}"
                )),
            }),
            Found::Unconfirmed => Ok(Detail::warning(format!(
                "the broker reports 0 messages and 0 consumers of the queue {name}, as it does of a \
                 quorum queue without majority; let this user read the queue, so that it can be told"
            ))),
        }
    }

    /// The options that need the numbers.
    const fn options(&self) -> &'static str {
        match (self.max_messages, self.min_consumers) {
            (None, None) => "",
            (Some(_), None) => "max_messages",
            (None, Some(_)) => "min_consumers",
            (Some(_), Some(_)) => "max_messages and min_consumers",
        }
    }

    /// Which numbers are out of range.
    fn objection(&self, QueueCounts { messages, consumers }: QueueCounts) -> Option<String> {
        let name = &self.name;
        match (self.max_messages, self.min_consumers) {
            (Some(most), _) if messages > most => Some(format!(
                "the queue {name} holds {messages} messages, above max_messages, {most}"
            )),
            (_, Some(fewest)) if consumers < fewest => Some(format!(
                "the queue {name} has {consumers} consumers, below min_consumers, {fewest}"
            )),
            _ => None,
        }
    }
}

/// The argument that a refusal calls inequivalent, and the queue's value of it.
fn inequivalent(text: &str) -> Option<(&str, Value)> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (name, rest) = rest.split_once('\'')?;
    // A queue's name stands in between, so the value is searched from the end.
    let (_, current) = rest.rsplit_once("but current is ")?;
    let Some(current) = current.strip_prefix("the value ") else {
        let text = current.strip_prefix('\'')?.strip_suffix('\'')?;
        return Some((name, Value::Text(text.to_owned())));
    };
    let (value, kind) = current.rsplit_once(" of type ")?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    let value = match kind.trim_matches('\'') {
        "longstr" => Value::Text(value.to_owned()),
        "bool" => Value::Bool(value == "true"),
        _ => Value::Number(value.parse().ok()?),
    };
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_an_argument_and_its_value() {
        let text = |value: &str| Value::Text(value.to_owned());
        for (current, wanted) in [
            ("received 'none' but current is 'stream'", text("stream")),
            ("received none but current is the value '7D' of type 'longstr'", text("7D")),
            ("received none but current is the value '1000' of type 'long'", Value::Number(1000)),
            ("received none but current is the value 'true' of type 'bool'", Value::Bool(true)),
        ] {
            let refusal = format!(
                "PRECONDITION_FAILED - inequivalent arg 'x-a' for queue 'it''s but current is' in \
                 vhost '/': {current}"
            );
            assert_eq!(inequivalent(&refusal), Some(("x-a", wanted)), "{refusal}");
        }
        for other in ["invalid arg 'x-queue-type' for queue 'a'", "", "inequivalent arg 'x"] {
            assert_eq!(inequivalent(other), None, "{other}");
        }
    }
}
