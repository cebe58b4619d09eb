//! The `nats` kind: whether a server takes a client and answers its `PING`.
//!
//! It speaks the protocol itself, over one connection that belongs to the run: a client library
//! would connect again behind its back. Only messages have headers that could carry a trace
//! context, and none is published, so none is sent.

mod options;
mod text;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::checks::broker::attributes;
use crate::config::{KindOptions, Redaction, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Session, TlsClient};

pub(crate) use options::NatsOptions;
use text::{Info, Op, operation};

const PROTOCOL: &str = "the protocol of NATS";

/// A check of one server, made of its options.
struct Nats {
    endpoint: Endpoint,
    /// Whether it must be asked with TLS, even if it asks for none.
    secure: bool,
    /// How to speak TLS, if need be.
    tls: Option<TlsClient>,
    /// `CONNECT` with the credentials, and `PING`.
    commands: Secret,
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
        let mut session = Session::new(&self.endpoint, PROTOCOL, stream);
        let info = cx.phase(Phase::Request, self.greeting(&mut session)).await?;
        if !self.secure && !info.tls_required {
            return self.ping(cx, session, &info).await;
        }
        if !info.tls_required && !info.tls_available {
            return Err(self.no_tls("offers no TLS; write nats:// if it is to go without"));
        }
        let Some(client) = &self.tls else {
            return Err(self.no_tls("wants TLS; write tls:// or leave out `tls = false`"));
        };
        // What came before TLS could be anybody's, and must not be read as if it came within.
        if !session.buffered().is_empty() {
            return Err(session.unexpected());
        }
        let stream = net::handshake(cx, client, &self.endpoint, session.into_stream()).await?;
        self.ping(cx, Session::new(&self.endpoint, PROTOCOL, stream), &info).await
    }

    /// What a server says first.
    async fn greeting<S>(&self, session: &mut Session<'_, S>) -> Result<Info, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match session.next(operation).await? {
            Op::Info(info) => Ok(*info),
            Op::Err(text) => Err(self.refused(&text, None)),
            Op::Pong | Op::Other => Err(session.unexpected()),
        }
    }

    /// Logs in and has `PING` answered.
    async fn ping<S>(
        &self,
        cx: &Context,
        mut session: Session<'_, S>,
        info: &Info,
    ) -> Result<Detail, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        cx.phase(Phase::Request, async {
            session.send(self.commands.expose().as_bytes()).await;
            session.first_byte().await
        })
        .await?;
        let pong = cx.phase(Phase::Transfer, self.pong(&mut session, info));
        if !(pong.await? || info.ldm) {
            return Ok(Detail::ok());
        }
        let what = "is in lame duck mode: it sheds its clients before it stops";
        Ok(Detail::warning(format!("{} {what}", self.endpoint)))
    }

    /// Awaits `PONG`; whether the server says meanwhile that it is about to stop.
    async fn pong<S>(&self, session: &mut Session<'_, S>, info: &Info) -> Result<bool, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut leaves = false;
        loop {
            match session.next(operation).await? {
                Op::Pong => return Ok(leaves),
                Op::Err(text) => return Err(self.refused(&text, Some(info))),
                // It may tell of a change at any time.
                Op::Info(news) => leaves |= news.ldm,
                Op::Other => {}
            }
        }
    }

    fn refused(&self, text: &str, info: Option<&Info>) -> Failure {
        let reason = text::reason(text);
        let shown = net::brief(self.redaction.clean(text));
        let mut told = format!("{} answered: {shown}", self.endpoint);
        // A nonce is what a client with a key would sign.
        if reason == Reason::AuthFailed && info.is_some_and(|info| info.nonce.is_some()) {
            told.push_str("; it knows clients by keys, of which this kind has none");
        }
        Failure::new(reason, told)
    }

    fn no_tls(&self, what: &str) -> Failure {
        Failure::new(Reason::TlsFailed, format!("{} {what}", self.endpoint))
    }
}
