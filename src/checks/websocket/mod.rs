//! The `websocket` kind: opens a WebSocket, sends a ping or a message, and waits for the answer.
//!
//! The request that opens it is an HTTP request like any other: it carries the trace context,
//! credentials and headers, and its span follows the conventions of HTTP. The phase `request` is
//! that request and its answer, `transfer` the messages up to the end of the WebSocket.

mod bounded;
mod handshake;
mod options;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::response;
use hyper::{Request, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use regex::bytes::Regex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::config::{KindOptions, Secret};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::http1::{Connection, Outgoing, USER_AGENT};
use crate::net::{self, Endpoint, Stream, Target, TlsClient};

use bounded::Bounded;
pub(crate) use options::WebsocketOptions;

/// Most bytes that are read of all messages together.
const MOST: usize = 1024 * 1024;

/// What is read at once: most messages are short.
const READ_AT_ONCE: usize = 4096;

/// What the answer to a ping gives back.
const PING: &[u8] = b"vitalsign";

/// A check of one URL, made of its options.
struct Websocket {
    target: Target,
    headers: HeaderMap,
    protocol: Option<String>,
    send: Option<Secret>,
    expect: Option<Regex>,
    tls: Option<TlsClient>,
}

type Socket = WebSocketStream<Bounded<Stream>>;

#[async_trait]
impl Check for Websocket {
    fn kind(&self) -> &'static str {
        WebsocketOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint().server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = self.target.attributes();
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, "GET"));
        cx.client("GET", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Websocket {
    const fn endpoint(&self) -> &Endpoint {
        self.target.endpoint()
    }

    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::open(cx, self.endpoint(), self.tls.as_ref()).await?;
        let key = generate_key();
        let request = self.compose(cx, &key);
        let mut connection = Connection::new(stream);
        let head = cx.phase(Phase::Request, connection.send(&request)).await;
        let head = head.map_err(|error| error.failure(self.endpoint()))?;
        cx.attribute(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(head.status.as_u16()));
        self.judge(&head, &key)?;
        let (stream, rest) = connection.into_parts();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_AT_ONCE)
            .max_message_size(Some(MOST))
            .max_frame_size(Some(MOST));
        let stream = Bounded::new(stream, MOST);
        let opened = Socket::from_partially_read(stream, rest.into(), Role::Client, Some(config));
        let socket = opened.await;
        // Its state takes more than all else that a run holds: on the heap.
        cx.phase(Phase::Transfer, Box::pin(self.exchange(socket))).await?;
        Ok(Detail::ok())
    }

    /// The request that opens the WebSocket.
    fn compose(&self, cx: &Context, key: &str) -> Outgoing {
        let mut sent = net::Carrier(HeaderMap::with_capacity(10 + self.headers.len()));
        sent.0.insert(header::HOST, self.target.host().clone());
        sent.0.insert(header::USER_AGENT, USER_AGENT);
        cx.inject(&mut sent);
        // The configured ones come last: they win.
        for (name, value) in &self.headers {
            sent.0.insert(name, value.clone());
        }
        // But for those that open a WebSocket.
        let opening = [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, key),
        ];
        let protocol = self.protocol.as_deref().map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name));
        for (name, value) in opening.into_iter().chain(protocol) {
            // All are ASCII: the key is base64, and the options were refused otherwise.
            if let Ok(value) = HeaderValue::from_str(value) {
                sent.0.insert(name, value);
            }
        }
        let mut request = Request::new(None);
        *request.uri_mut() = self.target.uri().clone();
        *request.headers_mut() = sent.0;
        request
    }

    fn judge(&self, head: &response::Parts, key: &str) -> Result<(), Failure> {
        let from = self.endpoint();
        match head.status {
            StatusCode::SWITCHING_PROTOCOLS => {}
            // A WebSocket is refused by this status as often as by 401.
            StatusCode::FORBIDDEN => {
                let text = format!("{from} answered {}", head.status);
                return Err(Failure::new(Reason::AuthFailed, text));
            }
            status => return Err(net::unexpected_status(from, status, "101")),
        }
        if let Some(objection) = handshake::objection(&head.headers, key, self.protocol.as_deref())
        {
            return Err(Failure::new(Reason::Protocol, format!("{from} {objection}")));
        }
        match &self.protocol {
            Some(asked) if handshake::protocol(&head.headers).is_none() => {
                let text = format!("{from} does not choose the subprotocol {asked}");
                Err(Failure::new(Reason::UnexpectedBody, text).answered())
            }
            _ => Ok(()),
        }
    }

    /// Sends what is to be sent, awaits what is expected, and closes the WebSocket.
    async fn exchange(&self, mut socket: Socket) -> Result<(), Failure> {
        // A server that has closed the WebSocket may have said why. That comes first; where it did
        // not, reading fails as writing did.
        let _ = self.send(&mut socket).await;
        self.receive(&mut socket).await?;
        self.close(&mut socket).await
    }

    async fn send(&self, socket: &mut Socket) -> Result<(), Error> {
        if let Some(text) = &self.send {
            socket.send(Message::text(text.expose())).await?;
        }
        if self.expect.is_none() {
            socket.send(Message::Ping(Bytes::from_static(PING))).await?;
        }
        Ok(())
    }

    async fn receive(&self, socket: &mut Socket) -> Result<(), Failure> {
        let Some(expected) = &self.expect else {
            return self
                .read(socket, |message| match message {
                    Message::Pong(payload) => (payload == PING).then_some(()),
                    _ => None,
                })
                .await;
        };
        let first = self.read(socket, |message| match message {
            Message::Text(_) | Message::Binary(_) => Some(message.into_data()),
            _ => None,
        });
        if expected.is_match(&first.await?) {
            return Ok(());
        }
        let text = format!("the first message from {} is not as expect.regex", self.endpoint());
        Err(Failure::new(Reason::UnexpectedBody, format!("{text} asks for")).answered())
    }

    /// Reads messages until `wanted` takes one.
    async fn read<T>(
        &self,
        socket: &mut Socket,
        wanted: impl Fn(Message) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return Err(self.closed(frame.as_ref())),
                Some(Ok(message)) => {
                    if let Some(found) = wanted(message) {
                        return Ok(found);
                    }
                }
                Some(Err(error)) => return Err(self.failure(&error)),
                None => return Err(self.failure(&Error::ConnectionClosed)),
            }
        }
    }

    /// Closes the WebSocket. The check has its answer by then: the server may end the connection
    /// without closing the WebSocket.
    async fn close(&self, socket: &mut Socket) -> Result<(), Failure> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if socket.send(Message::Close(Some(frame))).await.is_err() {
            return Ok(());
        }
        loop {
            match socket.next().await {
                None | Some(Ok(Message::Close(_))) => return Ok(()),
                // It was sent before the server knew of the end.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let failure = self.failure(&error);
                    let left = failure.reason == Reason::ConnectionReset;
                    return if left { Ok(()) } else { Err(failure) };
                }
            }
        }
    }

    /// The failure of a WebSocket that the server closed. The server's own text may repeat a
    /// secret and is not shown.
    fn closed(&self, frame: Option<&CloseFrame>) -> Failure {
        let code = frame.map_or(1005, |frame| u16::from(frame.code));
        let reason = match code {
            // Try again later.
            1013 => Reason::Overloaded,
            // Unauthorized and forbidden, as registered with IANA.
            3000 | 3003 => Reason::AuthFailed,
            1002 | 1003 | 1007 | 1010 => Reason::Protocol,
            _ => Reason::NotServing,
        };
        let text = format!("{} closed the WebSocket with code {code}", self.endpoint());
        Failure::new(reason, text)
    }

    fn failure(&self, error: &Error) -> Failure {
        let (reason, what) = match error {
            Error::Io(error) if bounded::is_full(error) => {
                (Reason::TooLarge, "sent more than 1 MiB".to_owned())
            }
            Error::Io(error) => {
                return net::failure(format_args!("talking to {}", self.endpoint()), error);
            }
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => (Reason::ConnectionReset, "ended the connection before it answered".to_owned()),
            Error::Capacity(_) => (Reason::TooLarge, "sent more than 1 MiB".to_owned()),
            _ => (Reason::Protocol, format!("does not speak WebSocket: {}", net::brief(error))),
        };
        Failure::new(reason, format!("{} {what}", self.endpoint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_closes_has_its_reason() {
        let options: WebsocketOptions = toml::from_str("url = 'ws://127.0.0.1:1/'").unwrap();
        let check = options.make().unwrap();
        for (code, expected) in [
            (1001, Reason::NotServing),
            (1008, Reason::NotServing),
            (1013, Reason::Overloaded),
            (1002, Reason::Protocol),
            (3000, Reason::AuthFailed),
        ] {
            let frame = CloseFrame { code: code.into(), reason: "a secret".into() };
            let failure = check.closed(Some(&frame));
            assert_eq!(failure.reason(), expected);
            let text = format!("127.0.0.1:1 closed the WebSocket with code {code}");
            assert_eq!(failure.message(), text);
        }
        assert_eq!(check.closed(None).reason(), Reason::NotServing);
    }
}
