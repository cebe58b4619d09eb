//! The check of the `memcached` kind: requests the version and the statistics of a server.
//!
//! It speaks the text protocol over one connection per run, and sends a command only after the
//! answer to the last one: a server that requires a login ignores commands sent together with the
//! login, and proxies drop the answers of a packet with a command that they do not know. The
//! protocol has no field for a trace context, so none is sent.
//!
//! # What fails a run
//! Only the answer to `version`. `stats` is requested for measurements; a server that answered
//! `version` is up, whatever it answers to `stats`.

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::{Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, OptionalQuestion, ServerAddress, Session, Stream, TlsClient};

use super::stats::Stats;

/// A check of one server.
pub(super) struct MemcachedCheck {
    pub(super) address: ServerAddress,
    pub(super) tls: Option<TlsClient>,
    /// The login command, for a server that requires it.
    pub(super) login: Option<Secret>,
    pub(super) redaction: Redaction,
    pub(super) stats: OptionalQuestion,
}

type MemcachedSession<'a> = Session<'a, Stream, ServerAddress>;

/// The protocol's error in `line`, by its first word.
fn error_code(line: &str) -> Option<&str> {
    let code = line.split(' ').next()?;
    matches!(code, "ERROR" | "CLIENT_ERROR" | "SERVER_ERROR").then_some(code)
}

/// Maps the error `line` in answer to `command` to a reason.
fn reason(command: &str, line: &str) -> Reason {
    let text = line.to_ascii_lowercase();
    if command == LOGIN || is_unauthenticated(line) {
        Reason::AuthFailed
    } else if text.contains("too many open connections") || text.contains("out of memory") {
        Reason::Overloaded
    } else if text.starts_with("server_error") {
        Reason::NotServing
    } else {
        Reason::QueryFailed
    }
}

fn is_unauthenticated(line: &str) -> bool {
    line.strip_prefix("CLIENT_ERROR ").is_some_and(|text| text.contains("authentica"))
}

const LOGIN: &str = "the login";
const VERSION: &str = "version";

#[async_trait]
impl Check for MemcachedCheck {
    fn kind(&self) -> &'static str {
        "memcached"
    }

    fn server(&self) -> Option<Server> {
        Some(self.address.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.address.attributes();
        let attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "memcached"),
            KeyValue::new(semconv::DB_OPERATION_NAME, VERSION),
            address,
            port,
        ];
        cx.client(VERSION, attributes, Box::pin(self.ask(cx))).await
    }
}

impl MemcachedCheck {
    pub(super) async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = self.address.open(cx, self.tls.as_ref()).await?;
        let mut session = Session::new(&self.address, "memcached's text protocol", stream);
        let detail = cx.phase(Phase::Request, self.greet(cx, &mut session)).await?;
        let stats = self.stats.ask(cx, stats(&mut session));
        if let Some(stats) = cx.phase(Phase::Transfer, stats).await {
            stats.measure(cx);
        }
        Ok(detail)
    }

    /// Requests the version, and logs in if the server requires it.
    async fn greet(
        &self,
        cx: &Context,
        session: &mut MemcachedSession<'_>,
    ) -> Result<Detail, Failure> {
        let answer = command("version\r\n", session).await?;
        let Some(login) = self.login.as_ref() else {
            self.version(cx, session, &answer)?;
            return Ok(Detail::ok());
        };
        if !is_unauthenticated(&answer) {
            self.version(cx, session, &answer)?;
            let text = format!("{} asks for no credentials, but some are configured", self.address);
            return Ok(Detail::warning(text));
        }
        let answer = command(login.expose(), session).await?;
        if answer != "STORED" {
            return Err(self.refused(cx, session, LOGIN, &answer));
        }
        let answer = command("version\r\n", session).await?;
        self.version(cx, session, &answer)?;
        Ok(Detail::ok())
    }

    /// The failure for an `answer` without a version.
    fn version(
        &self,
        cx: &Context,
        session: &MemcachedSession<'_>,
        answer: &str,
    ) -> Result<(), Failure> {
        let is_version = answer.strip_prefix("VERSION ").is_some_and(|text| !text.is_empty());
        if is_version { Ok(()) } else { Err(self.refused(cx, session, VERSION, answer)) }
    }

    /// The failure that `line` in answer to `command` stands for.
    fn refused(
        &self,
        cx: &Context,
        session: &MemcachedSession<'_>,
        command: &str,
        line: &str,
    ) -> Failure {
        let Some(code) = error_code(line) else { return session.unexpected() };
        cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, code.to_owned());
        let text = net::brief(self.redaction.clean(line));
        let text = format!("{} answered to {command}: {text}", self.address);
        Failure::new(reason(command, line), text)
    }
}

/// Sends `command` and awaits the first line of its answer.
async fn command(command: &str, session: &mut MemcachedSession<'_>) -> Result<String, Failure> {
    session.send(command.as_bytes()).await;
    session.line().await
}

/// Requests the statistics.
async fn stats(session: &mut MemcachedSession<'_>) -> Result<Stats, Failure> {
    let mut stats = Stats::default();
    let mut line = command("stats\r\n", session).await?;
    while let Some(stat) = line.strip_prefix("STAT ") {
        stats.add(stat);
        line = session.line().await?;
    }
    if line == "END" { Ok(stats) } else { Err(session.unexpected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_protocol_have_their_reasons() {
        for (step, line, expected) in [
            (VERSION, "CLIENT_ERROR unauthenticated", Reason::AuthFailed),
            (VERSION, "CLIENT_ERROR authentication failure", Reason::AuthFailed),
            (LOGIN, "CLIENT_ERROR bad data chunk", Reason::AuthFailed),
            (VERSION, "ERROR Too many open connections", Reason::Overloaded),
            (VERSION, "SERVER_ERROR out of memory reading request", Reason::Overloaded),
            (VERSION, "SERVER_ERROR no route", Reason::NotServing),
            (VERSION, "ERROR", Reason::QueryFailed),
        ] {
            assert_eq!(reason(step, line), expected, "{line}");
        }
        assert_eq!(error_code("ERRORS"), None);
    }
}
