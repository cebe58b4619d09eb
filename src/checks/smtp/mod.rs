//! The `smtp` kind: whether a mail server greets, and lets in who may.
//!
//! It speaks the protocol itself, over one connection that belongs to the run, and ends it with
//! `QUIT`. The phase `request` is the talk up to that, `transfer` the farewell. No mail is sent,
//! and commands have no field for a trace context, so none is sent either.

mod options;
mod reply;

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;

use crate::config::{KindOptions, Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Lines, Stream, TlsClient, Unread};

use options::Mode;
pub(crate) use options::SmtpOptions;
use reply::{NoReply, Reply, Step};

/// A check of one server, made of its options.
struct Smtp {
    endpoint: Endpoint,
    mode: Mode,
    tls: Option<TlsClient>,
    ehlo: Option<String>,
    login: Option<Login>,
    redaction: Redaction,
}

/// Who logs in.
struct Login {
    password: Secret,
    /// What `AUTH PLAIN` sends.
    response: Secret,
}

/// A connection and what was read of it beyond the last reply.
struct Talk {
    stream: Stream,
    lines: Lines,
}

#[async_trait]
impl Check for Smtp {
    fn kind(&self) -> &'static str {
        SmtpOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let attributes = vec![
            KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "smtp"),
            KeyValue::new(semconv::NETWORK_TRANSPORT, "tcp"),
            address,
            port,
        ];
        cx.client("EHLO", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Smtp {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let at_once = self.tls.as_ref().filter(|_| self.mode == Mode::Tls);
        let stream = net::open(cx, &self.endpoint, at_once).await?;
        let mut talk = Talk { stream, lines: Lines::default() };
        let mut announced = cx.phase(Phase::Request, self.greet(&mut talk)).await?;
        if self.mode == Mode::Starttls {
            cx.phase(Phase::Request, self.start_tls(&mut talk, &announced)).await?;
            talk = self.secure(cx, talk).await?;
            // What was announced without TLS may have been written by anybody on the way.
            announced = cx.phase(Phase::Request, self.introduce(&mut talk)).await?;
        }
        if let Some(login) = &self.login {
            cx.phase(Phase::Request, self.log_in(&mut talk, &announced, login)).await?;
        }
        cx.phase(Phase::Transfer, self.part(&mut talk)).await?;
        Ok(Detail::ok())
    }

    async fn greet(&self, talk: &mut Talk) -> Result<Reply, Failure> {
        let greeting = self.hear(talk).await?;
        self.expect(220, Step::Greeting, &greeting)?;
        self.introduce(talk).await
    }

    /// Says who asks; the reply announces what the server can do.
    async fn introduce(&self, talk: &mut Talk) -> Result<Reply, Failure> {
        let command = match &self.ehlo {
            Some(name) => format!("EHLO {name}\r\n"),
            None => format!("EHLO {}\r\n", literal(local_address(&talk.stream))),
        };
        let reply = self.command(&command, talk).await?;
        self.expect(250, Step::Ehlo, &reply)?;
        Ok(reply)
    }

    async fn start_tls(&self, talk: &mut Talk, announced: &Reply) -> Result<(), Failure> {
        if announced.announced("STARTTLS").is_none() {
            let text = format!("{} does not offer STARTTLS", self.endpoint);
            return Err(Failure::new(Reason::TlsFailed, text).answered());
        }
        let reply = self.command("STARTTLS\r\n", talk).await?;
        self.expect(220, Step::Starttls, &reply)
    }

    /// Speaks TLS from here on.
    async fn secure(&self, cx: &Context, talk: Talk) -> Result<Talk, Failure> {
        // Whatever came before TLS would be taken for what came within it.
        let clean = talk.lines.is_drained();
        let (Stream::Plain(stream), Some(client), true) = (talk.stream, &self.tls, clean) else {
            let text = format!("{} goes on without TLS after STARTTLS", self.endpoint);
            return Err(Failure::new(Reason::Protocol, text));
        };
        let stream = net::handshake(cx, client, &self.endpoint, stream).await?;
        Ok(Talk { stream: Stream::Tls(stream), lines: Lines::default() })
    }

    async fn log_in(
        &self,
        talk: &mut Talk,
        announced: &Reply,
        login: &Login,
    ) -> Result<(), Failure> {
        let offered = announced.announced("AUTH").unwrap_or_default();
        if !offered.split(' ').any(|mechanism| mechanism.eq_ignore_ascii_case("PLAIN")) {
            let text = format!("{} does not offer AUTH PLAIN", self.endpoint);
            return Err(Failure::new(Reason::AuthFailed, text).answered());
        }
        let command = Secret::new(format!("AUTH PLAIN {}\r\n", login.response.expose()));
        let reply = self.command(command.expose(), talk).await?;
        self.expect(235, Step::Auth, &reply)
    }

    /// Says farewell; by then the server has shown that it serves, so it may leave without a word.
    async fn part(&self, talk: &mut Talk) -> Result<(), Failure> {
        if self.send("QUIT\r\n", talk).await.is_err() {
            return Ok(());
        }
        match Reply::read(&mut talk.lines, &mut talk.stream).await {
            Ok(_) | Err(NoReply::Unread(Unread::Ended | Unread::Io(_))) => Ok(()),
            Err(error) => Err(self.unread(&error)),
        }
    }

    async fn command(&self, command: &str, talk: &mut Talk) -> Result<Reply, Failure> {
        let sent = self.send(command, talk).await;
        // A server that has had enough says so and closes: its word comes first.
        match (self.hear(talk).await, sent) {
            (Ok(reply), _) => Ok(reply),
            (Err(_), Err(error)) => {
                Err(net::failure(format_args!("sending to {}", self.endpoint), &error))
            }
            (Err(failure), Ok(())) => Err(failure),
        }
    }

    async fn send(&self, command: &str, talk: &mut Talk) -> std::io::Result<()> {
        talk.stream.write_all(command.as_bytes()).await?;
        talk.stream.flush().await
    }

    async fn hear(&self, talk: &mut Talk) -> Result<Reply, Failure> {
        let reply = Reply::read(&mut talk.lines, &mut talk.stream).await;
        reply.map_err(|error| self.unread(&error))
    }

    fn expect(&self, code: u16, step: Step, reply: &Reply) -> Result<(), Failure> {
        if reply.code == code {
            return Ok(());
        }
        let text = net::brief(self.redaction.clean(&reply.lines.join(" ")));
        let text = format!("{} answered to {step}: {} {text}", self.endpoint, reply.code);
        // A reply that refuses nothing, and is not the one asked for, belongs to no step.
        let refused = reply.code >= 400;
        let reason = if refused { reply.reason(step) } else { Reason::Protocol };
        Err(Failure::new(reason, text))
    }

    fn unread(&self, error: &NoReply) -> Failure {
        match error {
            NoReply::Unread(error) => error.failure(&self.endpoint),
            NoReply::Malformed => {
                Failure::new(Reason::Protocol, format!("{} does not speak SMTP", self.endpoint))
            }
        }
    }
}

fn local_address(stream: &Stream) -> Option<SocketAddr> {
    match stream {
        Stream::Plain(stream) => stream.local_addr().ok(),
        Stream::Tls(stream) => stream.get_ref().0.local_addr().ok(),
    }
}

/// An address as `EHLO` takes it (RFC 5321, section 4.1.3).
fn literal(address: Option<SocketAddr>) -> String {
    match address.map(|address| address.ip()) {
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Some(ip) => format!("[{ip}]"),
        None => "[127.0.0.1]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn an_address_is_written_as_a_literal() {
        let of = |text: &str| literal(Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.7:1"), "[192.0.2.7]");
        assert_eq!(of("[2001:db8::7]:1"), "[IPv6:2001:db8::7]");
    }

    /// What a run holds while it waits, times the thousands that may wait at once.
    #[tokio::test]
    async fn a_run_takes_little_memory() {
        let options: SmtpOptions = toml::from_str("address = '127.0.0.1:1'").unwrap();
        let check = options.make().unwrap();
        let cx = Context::new(Instant::now() + Duration::from_secs(1), None);
        let (run, ask) = (size_of_val(&*check.run(&cx)), size_of_val(&check.ask(&cx)));
        assert!(run + ask < 4096, "{run} and {ask} bytes");
    }
}
