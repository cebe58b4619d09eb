//! The check of the `smtp` kind: greets a mail server and optionally starts TLS and logs in.
//!
//! It speaks the protocol itself, over one connection per run. The phase `request` is the dialogue
//! up to `QUIT`. It sends no mail. Commands have no field for a trace context, so none is sent.
//!
//! # What fails a run
//! The greeting, the answer to `EHLO`, and, if configured, TLS and the login. If the server refuses
//! `EHLO`, `HELO` follows, as RFC 5321 says for older servers. `QUIT` ends the session; its answer
//! does not matter, and the run waits for it only for a moment.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::config::{Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Session, Stream, TlsClient};

use super::mode::Mode;
use super::reply::{Command, Reply};

/// How long the answer to `QUIT` is awaited: a server that hears of the end before the connection
/// closes logs no lost connection.
const FAREWELL: Duration = Duration::from_millis(100);

/// A check of one server.
pub(super) struct SmtpCheck {
    pub(super) endpoint: Endpoint,
    pub(super) mode: Mode,
    pub(super) tls: Option<TlsClient>,
    pub(super) ehlo: Option<String>,
    pub(super) login: Option<Login>,
    pub(super) redaction: Redaction,
}

/// Who logs in.
pub(super) struct Login {
    pub(super) password: Secret,
    /// What `AUTH PLAIN` sends.
    pub(super) response: Secret,
}

#[async_trait]
impl Check for SmtpCheck {
    fn kind(&self) -> &'static str {
        "smtp"
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

impl SmtpCheck {
    pub(super) async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let at_once = self.tls.as_ref().filter(|_| self.mode == Mode::Tls);
        let stream = net::open(cx, &self.endpoint, at_once).await?;
        let name = self.ehlo.clone().unwrap_or_else(|| literal(local_address(&stream)));
        let mut session = self.session(stream);
        let mut offer = cx.phase(Phase::Request, self.greet(&mut session, &name)).await?;
        if self.mode == Mode::Starttls {
            cx.phase(Phase::Request, self.start_tls(&mut session, &offer)).await?;
            session = self.secure(cx, session).await?;
            // What was offered without TLS may have been written by anybody on the way.
            offer = cx.phase(Phase::Request, self.introduce(&mut session, &name)).await?;
        }
        if let Some(login) = &self.login {
            cx.phase(Phase::Request, self.log_in(&mut session, &offer, login)).await?;
        }
        cx.phase(Phase::Transfer, quit(session)).await;
        Ok(Detail::ok())
    }

    fn session(&self, stream: Stream) -> Session<'_> {
        Session::new(&self.endpoint, "SMTP", stream)
    }

    async fn greet(&self, session: &mut Session<'_>, name: &str) -> Result<Reply, Failure> {
        let greeting = Reply::read(session).await?;
        self.expect(220, Command::Connect, &greeting)?;
        self.introduce(session, name).await
    }

    /// Tells the server our name; its reply offers what it can do.
    async fn introduce(&self, session: &mut Session<'_>, name: &str) -> Result<Reply, Failure> {
        let reply = command(session, &format!("EHLO {name}\r\n")).await?;
        if reply.code < 500 {
            self.expect(250, Command::Hello, &reply)?;
            return Ok(reply);
        }
        let refusal = self.refusal(Command::Hello, &reply);
        match command(session, &format!("HELO {name}\r\n")).await {
            Ok(older) if older.code == 250 => Ok(older.without_offers()),
            Ok(older) if older.code == 421 => Err(self.refusal(Command::Hello, &older)),
            _ => Err(refusal),
        }
    }

    async fn start_tls(&self, session: &mut Session<'_>, offer: &Reply) -> Result<(), Failure> {
        if !offer.offers("STARTTLS") {
            let text = format!("{} does not offer STARTTLS", self.endpoint);
            return Err(Failure::new(Reason::TlsFailed, text).answered());
        }
        let reply = command(session, "STARTTLS\r\n").await?;
        self.expect(220, Command::Starttls, &reply)
    }

    /// Speaks TLS from here on.
    async fn secure(&self, cx: &Context, session: Session<'_>) -> Result<Session<'_>, Failure> {
        // Whatever came before TLS would be taken for what came within it.
        let nothing_follows = session.buffered().is_empty();
        let (Stream::Plain(stream), Some(client), true) =
            (session.into_stream(), &self.tls, nothing_follows)
        else {
            let text = format!("{} goes on without TLS after STARTTLS", self.endpoint);
            return Err(Failure::new(Reason::Protocol, text));
        };
        let stream = net::handshake(cx, client, &self.endpoint, stream).await?;
        Ok(self.session(Stream::Tls(stream)))
    }

    async fn log_in(
        &self,
        session: &mut Session<'_>,
        offer: &Reply,
        login: &Login,
    ) -> Result<(), Failure> {
        if !offer.offers_mechanism("PLAIN") {
            let text = format!("{} does not offer AUTH PLAIN", self.endpoint);
            return Err(Failure::new(Reason::AuthFailed, text).answered());
        }
        let line = Secret::new(format!("AUTH PLAIN {}\r\n", login.response.expose()));
        let reply = command(session, line.expose()).await?;
        self.expect(235, Command::Auth, &reply)
    }

    fn expect(&self, code: u16, command: Command, reply: &Reply) -> Result<(), Failure> {
        if reply.code == code { Ok(()) } else { Err(self.refusal(command, reply)) }
    }

    fn refusal(&self, command: Command, reply: &Reply) -> Failure {
        let text = net::brief(self.redaction.clean(&reply.lines.join(" ")));
        let text = format!("{} answered to {command}: {} {text}", self.endpoint, reply.code);
        // A reply that refuses nothing, and is not the one asked for, belongs to no command.
        let reason = if reply.code >= 400 { reply.reason(command) } else { Reason::Protocol };
        Failure::new(reason, text)
    }
}

async fn command(session: &mut Session<'_>, line: &str) -> Result<Reply, Failure> {
    session.send(line.as_bytes()).await;
    Reply::read(session).await
}

/// Ends the session. By then the server has shown that it serves, so nothing can fail.
async fn quit(mut session: Session<'_>) {
    let farewell = async {
        session.send(b"QUIT\r\n").await;
        if Reply::read(&mut session).await.is_ok() {
            let _ = session.into_stream().shutdown().await;
        }
    };
    let _ = timeout(FAREWELL, farewell).await;
}

fn local_address(stream: &Stream) -> Option<SocketAddr> {
    match stream {
        Stream::Plain(stream) => stream.local_addr().ok(),
        Stream::Tls(stream) => stream.get_ref().0.local_addr().ok(),
        Stream::Unix(_) => None,
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
    use super::*;

    #[test]
    fn an_address_is_written_as_a_literal() {
        let of = |text: &str| literal(Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.7:1"), "[192.0.2.7]");
        assert_eq!(of("[2001:db8::7]:1"), "[IPv6:2001:db8::7]");
    }
}
