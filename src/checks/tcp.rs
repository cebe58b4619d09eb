//! The `tcp` kind: connects to a port, and optionally sends a text and checks the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::config::{KindOptions, OptionError, Secret, Tls};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Phase, Reason, Server};
use crate::net::mysql_port::{self, FirstWord};
use crate::net::{self, Endpoint, NOT_AFTER, Stream, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

/// Most bytes that are read in search of what is expected.
const MOST: usize = 64 * 1024;

/// Opens a connection; optionally sends a text and checks the answer.
///
/// MySQL and MariaDB count connections without a login, and after `max_connect_errors` of them in a
/// row they refuse the whole host, including the application on it. If the port sends their
/// greeting, this kind ends the connection with a login as the user `vitalsign`, which they refuse
/// and do not count. Use the kind `mysql` to check more of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcpOptions {
    /// Where to connect: `"db:5432"`, `"127.0.0.1:25"` or `"[::1]:25"`.
    address: String,
    /// Text to send once connected, such as `"PING\r\n"`.
    send: Option<Secret>,
    /// Expectations of the answer.
    #[serde(default)]
    expect: ExpectOptions,
    /// Use TLS: `true`, or a table of options. Default `false`.
    #[serde(default)]
    tls: Tls,
}

/// What must come back over the connection.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TcpExpect")]
struct ExpectOptions {
    /// Regular expression that must be found in the first 64 KiB that the peer sends. It is tried
    /// each time that more bytes arrive. Without it nothing is read.
    regex: Option<String>,
}

impl KindOptions for TcpOptions {
    const NAME: &'static str = "tcp";
    const SUMMARY: &'static str = "connect; optionally send and expect";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let endpoint = Endpoint::parse(&self.address)
            .map_err(|error| errors.push(OptionError::new("address", error)));
        let expect = self.expect.regex.as_deref().map(Regex::new).transpose().map_err(|error| {
            errors.push(OptionError::bad_regex("expect.regex", &error));
        });
        let tls = self.tls.0.map(|options| TlsClient::new(&options, &[])).transpose();
        let tls = tls.map_err(|wrong| errors.extend(wrong));
        let (Ok(endpoint), Ok(expect), Ok(tls)) = (endpoint, expect, tls) else {
            return Err(errors);
        };
        Ok(Arc::new(Tcp {
            endpoint,
            send: self.send,
            expect,
            tls,
            first_word: FirstWord::default(),
        }))
    }
}

struct Tcp {
    endpoint: Endpoint,
    send: Option<Secret>,
    expect: Option<Regex>,
    tls: Option<TlsClient>,
    first_word: FirstWord,
}

#[async_trait]
impl Check for Tcp {
    fn kind(&self) -> &'static str {
        TcpOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    fn caveat(&self) -> Option<&'static str> {
        (self.endpoint.port() == mysql_port::PORT).then_some(
            "MySQL and MariaDB refuse a host after max_connect_errors connections without a login, \
             which a check of their port risks; use the kind `mysql`",
        )
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let attributes = vec![address, port, KeyValue::new(semconv::NETWORK_TRANSPORT, "tcp")];
        cx.client("tcp connect", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Tcp {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let started = Instant::now();
        let opened = net::open(cx, &self.endpoint, self.tls.as_ref()).await;
        let mut stream = opened.inspect_err(|_| self.first_word.forget())?;
        if self.send.is_none() && self.expect.is_none() {
            self.part(cx, stream, started.elapsed()).await;
            return Ok(Detail::ok());
        }
        let mut received = Vec::new();
        let found = self.exchange(cx, &mut stream, &mut received).await;
        if self.send.is_none() && mysql_port::is_greeting(&received) {
            mysql_port::part(&mut stream, cx.remaining() / 2).await;
        }
        found.map(|()| Detail::ok())
    }

    /// Closes a connection over which nothing was sent, in the way of MySQL where the port speaks
    /// that.
    async fn part(&self, cx: &Context, mut stream: Stream, connected: Duration) {
        let plain = self.tls.is_none();
        let patience = self.first_word.patience(self.endpoint.port(), connected, cx.remaining());
        if let Some(patience) = patience.filter(|_| plain) {
            self.first_word.part(&mut stream, patience).await;
        }
        let customary = self.endpoint.port() == mysql_port::PORT;
        if plain && customary && self.first_word.is_silent() {
            mysql_port::part_unheard(&mut stream).await;
        }
    }

    async fn exchange(
        &self,
        cx: &Context,
        stream: &mut Stream,
        received: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        cx.phase(Phase::Request, self.begin(stream, received)).await?;
        if let Some(expected) = &self.expect {
            cx.phase(Phase::Transfer, self.search(stream, received, expected)).await?;
        }
        Ok(())
    }

    /// Sends what is to be sent and waits for the first bytes, where any are expected.
    async fn begin(&self, stream: &mut Stream, received: &mut Vec<u8>) -> Result<(), Failure> {
        if let Some(text) = &self.send {
            let sent = async {
                stream.write_all(text.expose().as_bytes()).await?;
                stream.flush().await
            };
            sent.await
                .map_err(|e| net::failure(format_args!("sending to {}", self.endpoint), &e))?;
        }
        if self.expect.is_some() && self.read(stream, received).await? == 0 {
            let text = format!("{} closed the connection without a word", self.endpoint);
            return Err(Failure::new(Reason::ConnectionReset, text));
        }
        Ok(())
    }

    /// Reads until `expected` is found.
    async fn search(
        &self,
        stream: &mut Stream,
        received: &mut Vec<u8>,
        expected: &Regex,
    ) -> Result<(), Failure> {
        while !expected.is_match(received) {
            let (reason, what) = if received.len() >= MOST {
                (Reason::TooLarge, "sent 64 KiB without what `expect.regex` asks for")
            } else if self.read(stream, received).await? == 0 {
                (Reason::UnexpectedBody, "ended its answer without what `expect.regex` asks for")
            } else {
                continue;
            };
            return Err(Failure::new(reason, format!("{} {what}", self.endpoint)).answered());
        }
        Ok(())
    }

    /// Appends what has arrived, up to the bound; 0 at the end.
    async fn read(&self, stream: &mut Stream, received: &mut Vec<u8>) -> Result<usize, Failure> {
        let room = MOST.saturating_sub(received.len());
        stream
            .take(room as u64)
            .read_buf(received)
            .await
            .map_err(|e| net::failure(format_args!("reading from {}", self.endpoint), &e))
    }
}
