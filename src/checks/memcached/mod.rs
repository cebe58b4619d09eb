//! The `memcached` kind: whether a server answers, and what it tells of its memory and clients.
//!
//! It speaks the text protocol over one connection that belongs to the run, and never sends a
//! command before the last one was answered: a server that wants a login forgets what came with
//! it. The protocol has no field for a trace context, so none is sent.

mod options;
mod stats;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;

use crate::config::{KindOptions, Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Lines, Stream, TlsClient};

pub(crate) use options::MemcachedOptions;
use stats::Stats;

/// A check of one server, made of its options.
struct Memcached {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    /// The command that logs in, for a server that asks for it.
    login: Option<Secret>,
    redaction: Redaction,
}

/// Whether the answer to a command is an error of the protocol, by its first word.
fn error_code(line: &str) -> Option<&str> {
    let code = line.split(' ').next()?;
    matches!(code, "ERROR" | "CLIENT_ERROR" | "SERVER_ERROR").then_some(code)
}

/// What the error `line` in answer to `step` stands for.
fn reason(step: &str, line: &str) -> Reason {
    let text = line.to_ascii_lowercase();
    if step == LOGIN || is_unauthenticated(line) {
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
impl Check for Memcached {
    fn kind(&self) -> &'static str {
        MemcachedOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "memcached"),
            KeyValue::new(semconv::DB_OPERATION_NAME, VERSION),
            address,
            port,
        ];
        cx.client(VERSION, attributes, Box::pin(self.ask(cx))).await
    }
}

impl Memcached {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        let mut lines = Lines::default();
        let greeted = self.greet(cx, &mut stream, &mut lines);
        let detail = cx.phase(Phase::Request, greeted).await?;
        let stats = cx.phase(Phase::Transfer, self.stats(&mut stream, &mut lines)).await?;
        stats.measure(cx);
        Ok(detail)
    }

    /// Asks for the version, and logs in where that is asked for.
    async fn greet(
        &self,
        cx: &Context,
        stream: &mut Stream,
        lines: &mut Lines,
    ) -> Result<Detail, Failure> {
        let answer = self.command("version\r\n", stream, lines).await?;
        let Some(login) = self.login.as_ref() else {
            self.version(cx, &answer)?;
            return Ok(Detail::ok());
        };
        if !is_unauthenticated(&answer) {
            self.version(cx, &answer)?;
            let text =
                format!("{} asks for no credentials, but some are configured", self.endpoint);
            return Ok(Detail::warning(text));
        }
        let answer = self.command(login.expose(), stream, lines).await?;
        if answer != "STORED" {
            return Err(self.strange_or_refused(cx, LOGIN, &answer));
        }
        let answer = self.command("version\r\n", stream, lines).await?;
        self.version(cx, &answer)?;
        Ok(Detail::ok())
    }

    /// Whether `answer` tells a version.
    fn version(&self, cx: &Context, answer: &str) -> Result<(), Failure> {
        let told = answer.strip_prefix("VERSION ").is_some_and(|version| !version.is_empty());
        if told { Ok(()) } else { Err(self.strange_or_refused(cx, VERSION, answer)) }
    }

    /// Asks for the figures; none where the server, or a proxy in front of it, tells none.
    async fn stats(&self, stream: &mut Stream, lines: &mut Lines) -> Result<Stats, Failure> {
        let mut stats = Stats::default();
        let mut line = self.command("stats\r\n", stream, lines).await?;
        loop {
            if let Some(stat) = line.strip_prefix("STAT ") {
                stats.add(stat);
            } else if line == "END" || error_code(&line).is_some() {
                return Ok(stats);
            } else {
                return Err(self.strange());
            }
            line = lines.next(stream).await.map_err(|error| error.failure(&self.endpoint))?;
        }
    }

    /// Sends `command` and awaits the first line of its answer.
    async fn command(
        &self,
        command: &str,
        stream: &mut Stream,
        lines: &mut Lines,
    ) -> Result<String, Failure> {
        let sent = async {
            stream.write_all(command.as_bytes()).await?;
            stream.flush().await
        };
        let sent = sent.await;
        // A server that is full says so and closes, whatever it was sent: its word comes first.
        match (lines.next(stream).await, sent) {
            (Ok(line), _) => Ok(line),
            (Err(_), Err(error)) => {
                Err(net::failure(format_args!("sending to {}", self.endpoint), &error))
            }
            (Err(error), Ok(())) => Err(error.failure(&self.endpoint)),
        }
    }

    fn strange_or_refused(&self, cx: &Context, step: &str, line: &str) -> Failure {
        let Some(code) = error_code(line) else { return self.strange() };
        cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, code.to_owned());
        let text = net::brief(self.redaction.clean(line));
        let text = format!("{} answered to {step}: {text}", self.endpoint);
        Failure::new(reason(step, line), text)
    }

    fn strange(&self) -> Failure {
        let text = format!("{} does not speak memcached's text protocol", self.endpoint);
        Failure::new(Reason::Protocol, text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

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

    /// What a run holds while it waits, times the thousands that may wait at once.
    #[tokio::test]
    async fn a_run_takes_little_memory() {
        let options: MemcachedOptions = toml::from_str("address = '127.0.0.1:1'").unwrap();
        let check = options.make().unwrap();
        let cx = Context::new(Instant::now() + Duration::from_secs(1), None);
        let (run, ask) = (size_of_val(&*check.run(&cx)), size_of_val(&check.ask(&cx)));
        assert!(run + ask < 4096, "{run} and {ask} bytes");
    }
}
