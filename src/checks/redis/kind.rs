//! The `redis` kind: whether a server answers, and what it tells of itself.
//!
//! It speaks the protocol itself, over one connection that belongs to the run: a client library
//! would spawn tasks and try again behind its back. The protocol has no field for a trace
//! context, so none is sent.

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;

use crate::config::{KindOptions, Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Stream, TlsClient};

use super::info::{Expect, Info};
use super::options::RedisOptions;
use super::resp::{NoReply, Replies, Reply};
use super::{TOO_MANY_CLIENTS, reason_of_code};

/// A check of one server, made of its options.
pub(super) struct Redis {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<TlsClient>,
    /// All that is asked, credentials included; it is sent in one go.
    pub(super) commands: Secret,
    /// Whether the commands start with `AUTH`.
    pub(super) authenticates: bool,
    /// Whether they go on with `SELECT`.
    pub(super) selects: bool,
    /// Number of the database, as the span shows it.
    pub(super) namespace: String,
    pub(super) expect: Expect,
    pub(super) redaction: Redaction,
}

/// Whether an answer was refused, and with what.
type Answer = Result<Reply, Refusal>;

/// An error that the server answered.
struct Refusal(String);

impl Refusal {
    /// The code: the first word, if that is in capitals.
    fn code(&self) -> Option<&str> {
        let code = self.0.split(' ').next().unwrap_or_default();
        let is_code = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        (!code.is_empty() && code.len() <= 32 && code.bytes().all(is_code)).then_some(code)
    }

    /// What it stands for in answer to `step`.
    fn reason(&self, step: &str) -> Reason {
        let code = self.code().unwrap_or_default();
        let text = self.0.strip_prefix("ERR ");
        match reason_of_code(code) {
            Some(reason) => reason,
            None if text.is_some_and(|t| t.starts_with(TOO_MANY_CLIENTS)) => Reason::Overloaded,
            None if step == "AUTH" => Reason::AuthFailed,
            None => Reason::QueryFailed,
        }
    }
}

#[async_trait]
impl Check for Redis {
    fn kind(&self) -> &'static str {
        RedisOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "redis"),
            KeyValue::new(semconv::DB_OPERATION_NAME, "PING"),
            KeyValue::new(semconv::DB_NAMESPACE, self.namespace.clone()),
            address,
            port,
        ];
        cx.client("PING", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Redis {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        let mut replies = Replies::default();
        cx.phase(Phase::Request, self.begin(&mut stream, &mut replies)).await?;
        let info = cx.phase(Phase::Transfer, self.hear(cx, &mut stream, &mut replies)).await?;
        match info {
            Some(info) => self.expect.judge(cx, &self.endpoint.to_string(), &info),
            None => Ok(Detail::ok()),
        }
    }

    /// Sends all commands and awaits the first bytes of what they are answered.
    async fn begin(&self, stream: &mut Stream, replies: &mut Replies) -> Result<(), Failure> {
        let sent = async {
            stream.write_all(self.commands.expose().as_bytes()).await?;
            stream.flush().await
        };
        let sent = sent.await;
        // A server that is full says so and closes, whatever it was sent: its word comes first.
        match (replies.first(stream).await, sent) {
            (Ok(()), _) => Ok(()),
            (Err(_), Err(error)) => {
                Err(net::failure(format_args!("sending to {}", self.endpoint), &error))
            }
            (Err(error), Ok(())) => Err(self.unread(&error)),
        }
    }

    /// Reads what was answered; none, where the server does not tell about itself and need not.
    async fn hear(
        &self,
        cx: &Context,
        stream: &mut Stream,
        replies: &mut Replies,
    ) -> Result<Option<Info>, Failure> {
        if self.authenticates {
            self.word(cx, "AUTH", "OK", self.next(stream, replies).await?)?;
        }
        if self.selects {
            self.word(cx, "SELECT", "OK", self.next(stream, replies).await?)?;
        }
        self.word(cx, "PING", "PONG", self.next(stream, replies).await?)?;
        let mut info = Info::default();
        for _section in ["replication", "memory"] {
            match self.next(stream, replies).await? {
                Ok(Reply::Bulk(section)) => info.add(&section),
                Ok(_) => return Err(self.strange()),
                Err(refusal) if self.expect.needs_info() => {
                    return Err(self.refused(cx, "INFO", &refusal));
                }
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(info))
    }

    async fn next(&self, stream: &mut Stream, replies: &mut Replies) -> Result<Answer, Failure> {
        match replies.next(stream).await.map_err(|error| self.unread(&error))? {
            Reply::Error(text) => Ok(Err(Refusal(text))),
            reply => Ok(Ok(reply)),
        }
    }

    /// Whether `answer` to `step` is the word `expected`.
    fn word(
        &self,
        cx: &Context,
        step: &str,
        expected: &str,
        answer: Answer,
    ) -> Result<(), Failure> {
        match answer {
            Ok(Reply::Simple(word)) if word == expected => Ok(()),
            Ok(_) => Err(self.strange()),
            Err(refusal) => Err(self.refused(cx, step, &refusal)),
        }
    }

    fn refused(&self, cx: &Context, step: &str, refusal: &Refusal) -> Failure {
        if let Some(code) = refusal.code() {
            cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, self.redaction.clean(code));
        }
        let text = net::brief(self.redaction.clean(&refusal.0));
        let text = format!("{} answered to {step}: {text}", self.endpoint);
        Failure::new(refusal.reason(step), text)
    }

    fn unread(&self, error: &NoReply) -> Failure {
        match error {
            NoReply::Unread(error) => error.failure(&self.endpoint),
            NoReply::Malformed => self.strange(),
        }
    }

    fn strange(&self) -> Failure {
        let text = format!("{} does not speak the protocol of Redis", self.endpoint);
        Failure::new(Reason::Protocol, text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// What a run holds while it waits, times the thousands that may wait at once.
    #[tokio::test]
    async fn a_run_takes_little_memory() {
        let options: RedisOptions = toml::from_str("url = 'redis://127.0.0.1:1'").unwrap();
        let check = options.make().unwrap();
        let cx = Context::new(Instant::now() + Duration::from_secs(1), None);
        let (run, ask) = (size_of_val(&*check.run(&cx)), size_of_val(&check.ask(&cx)));
        assert!(run + ask < 4096, "{run} and {ask} bytes");
    }
}
