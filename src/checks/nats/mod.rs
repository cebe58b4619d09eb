//! The `nats` kind: connects to a server, logs in and sends `PING`.
//!
//! It speaks the protocol itself, over one connection per run: a client library would reconnect by
//! itself. Only messages have headers for a trace context, and it publishes no message, so it sends
//! no trace context.

mod login;
mod nkey;
mod options;
mod text;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::checks::broker::attributes;
use crate::config::{KindOptions, Redaction};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Session, TlsClient};

use login::{Login, NoNonce};
pub(crate) use options::NatsOptions;
use text::{Info, Op, operation};

const PROTOCOL: &str = "the protocol of NATS";

/// Longest time to wait for the greeting of a server that may require TLS first. Such a server
/// drops a client that has not started TLS within two seconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// A check of one server, made of its options.
struct Nats {
    endpoint: Endpoint,
    /// Whether TLS is required, even if the server does not require it.
    secure: bool,
    /// The TLS client, if TLS is allowed.
    tls: Option<TlsClient>,
    /// Whether TLS comes before the greeting, as configured.
    handshake_first: bool,
    /// Whether an earlier run has found that TLS comes before the greeting.
    is_silent: AtomicBool,
    login: Login,
    redaction: Redaction,
}

#[async_trait]
impl Check for Nats {
    fn kind(&self) -> &'static str {
        NatsOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = attributes("nats", "ping", &self.endpoint);
        attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "nats"));
        cx.client("ping", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Nats {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::connect(cx, &self.endpoint).await?;
        if let Some(client) = self.tls.as_ref().filter(|_| self.handshake_first) {
            return self.ask_within_tls(cx, client, stream).await;
        }
        let Some(client) = self.tls.as_ref().filter(|_| self.secure) else {
            return self.ask_after_greeting(cx, stream, None).await;
        };
        if self.is_silent.load(Relaxed) {
            let answer = self.ask_within_tls(cx, client, stream).await;
            // It may have been set otherwise since.
            self.is_silent.store(answer.is_ok(), Relaxed);
            return answer;
        }
        self.ask_after_greeting(cx, stream, Some(client)).await
    }

    /// Checks a server that expects TLS before its greeting.
    async fn ask_within_tls(
        &self,
        cx: &Context,
        client: &TlsClient,
        stream: TcpStream,
    ) -> Result<Detail, Failure> {
        let stream = net::handshake(cx, client, &self.endpoint, stream).await?;
        let mut session = Session::new(&self.endpoint, PROTOCOL, stream);
        let info = cx.phase(Phase::Request, self.greeting(&mut session)).await?;
        self.ping(cx, session, &info).await
    }

    /// Checks a server that sends its greeting first. If no greeting comes for a while, and
    /// `silent` allows TLS, it continues with TLS.
    async fn ask_after_greeting(
        &self,
        cx: &Context,
        stream: TcpStream,
        silent: Option<&TlsClient>,
    ) -> Result<Detail, Failure> {
        let mut session = Session::new(&self.endpoint, PROTOCOL, stream);
        let greeting = cx.phase(Phase::Request, async {
            let Some(client) = silent else { return self.greeting(&mut session).await.map(Ok) };
            let patience = LONGEST_SILENCE.min(cx.remaining() / 3);
            match timeout(patience, session.first_byte()).await {
                Ok(first) => first?,
                Err(_) => return Ok(Err(client)),
            }
            self.greeting(&mut session).await.map(Ok)
        });
        let info = match greeting.await? {
            Ok(info) => info,
            Err(client) => {
                let answer = self.ask_within_tls(cx, client, session.into_stream()).await;
                self.is_silent.store(answer.is_ok(), Relaxed);
                return answer;
            }
        };
        if !self.secure && !info.tls_required {
            return self.ping(cx, session, &info).await;
        }
        if !info.tls_required && !info.tls_available {
            return Err(self.no_tls("offers no TLS; write nats:// if it is to go without"));
        }
        let Some(client) = &self.tls else {
            return Err(self.no_tls("wants TLS; write tls:// or leave out `tls = false`"));
        };
        // Bytes from before TLS may be forged, and must not be read as if they came over TLS.
        if !session.buffered().is_empty() {
            return Err(session.unexpected());
        }
        let stream = net::handshake(cx, client, &self.endpoint, session.into_stream()).await?;
        self.ping(cx, Session::new(&self.endpoint, PROTOCOL, stream), &info).await
    }

    /// What a server sends first.
    async fn greeting<S>(&self, session: &mut Session<'_, S>) -> Result<Info, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match session.next(operation).await? {
            Op::Info(info) => match info.other_port() {
                None => Ok(*info),
                Some(port) => {
                    let text = format!(
                        "{} is the port of a NATS server for {port}, not for clients",
                        self.endpoint
                    );
                    Err(Failure::new(Reason::Protocol, text))
                }
            },
            Op::Err(text) => Err(self.refused(&text, None)),
            Op::Pong | Op::Other => Err(session.unexpected()),
        }
    }

    /// Logs in and sends `PING`.
    async fn ping<S>(
        &self,
        cx: &Context,
        mut session: Session<'_, S>,
        info: &Info,
    ) -> Result<Detail, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let commands = self.login.commands(self.secure, info.nonce.as_deref());
        let commands = commands.map_err(|NoNonce| {
            let text = "knows no clients by keys: it sent nothing to sign";
            Failure::new(Reason::AuthFailed, format!("{} {text}", self.endpoint)).answered()
        })?;
        cx.phase(Phase::Request, async {
            session.send(commands.expose().as_bytes()).await;
            session.first_byte().await
        })
        .await?;
        let leaves = cx.phase(Phase::Transfer, self.pong(&mut session, info)).await? || info.ldm;
        session.close().await;
        if !leaves {
            return Ok(Detail::ok());
        }
        let what = "is in lame duck mode: it sheds its clients before it stops";
        Ok(Detail::warning(format!("{} {what}", self.endpoint)))
    }

    /// Waits for `PONG`; returns whether the server announced meanwhile that it is about to stop.
    async fn pong<S>(&self, session: &mut Session<'_, S>, info: &Info) -> Result<bool, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut leaves = false;
        loop {
            match session.next(operation).await? {
                Op::Pong => return Ok(leaves),
                Op::Err(text) => return Err(self.refused(&text, Some(info))),
                // The server may send a new `INFO` at any time.
                Op::Info(news) => leaves |= news.ldm,
                Op::Other => {}
            }
        }
    }

    fn refused(&self, text: &str, info: Option<&Info>) -> Failure {
        let reason = text::reason(text);
        let shown = net::brief(self.redaction.clean(text));
        let mut message = format!("{} answered: {shown}", self.endpoint);
        // A nonce is what a client with a key signs.
        let wants_keys = info.is_some_and(|info| info.nonce.is_some());
        let has_key = matches!(self.login, Login::Key(_) | Login::Account { .. });
        if reason == Reason::AuthFailed && wants_keys && !has_key {
            message.push_str("; it knows clients by keys: name one by nkey_seed or credentials");
        }
        Failure::new(reason, message)
    }

    fn no_tls(&self, what: &str) -> Failure {
        Failure::new(Reason::TlsFailed, format!("{} {what}", self.endpoint))
    }
}
