//! The options of the `websocket` kind, and how a check is built from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::{self, HeaderName};
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::headers::{BasicAuth, HeaderOptions};
use crate::net::http1::ALPN;
use crate::net::{NOT_AFTER, Target, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::Websocket;

/// Opens a WebSocket (RFC 6455), sends a ping or your message, waits for the answer and closes the
/// WebSocket; the server must confirm the close or close the connection.
///
/// A server that closes the WebSocket instead of answering fails the run with `not_serving`, or
/// with `overloaded` or `auth_failed`, depending on its close code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebsocketOptions {
    /// The URL to open, with `ws` or `wss`. A user name and password in it are sent as basic
    /// authentication.
    url: Secret,
    /// Headers of the opening request, by name. They replace those that the check sends by default:
    /// `Host`, `User-Agent` and the trace context.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// User name and password to send as basic authentication.
    basic_auth: Option<BasicAuth>,
    /// Token to send as `Authorization: Bearer …`.
    bearer: Option<Secret>,
    /// Subprotocol to request, such as `"mqtt"`; if the server does not choose it, the run fails
    /// with `unexpected_body`.
    subprotocol: Option<String>,
    /// Text message to send once the WebSocket is open.
    send: Option<Secret>,
    /// Expectations of the answer.
    #[serde(default)]
    expect: ExpectOptions,
    /// Options of TLS for a `wss` URL.
    tls: Option<Tls>,
}

/// What must come back over the WebSocket.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebsocketExpect")]
struct ExpectOptions {
    /// Regular expression that must be found in the first message, text or binary, of at most 1
    /// MiB. Without it a ping must be answered, and messages are ignored.
    regex: Option<String>,
}

/// Headers that open a WebSocket.
const RESERVED: [HeaderName; 5] = [
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
];

impl KindOptions for WebsocketOptions {
    const NAME: &'static str = "websocket";
    const SUMMARY: &'static str = "open a WebSocket; a ping, or a message and its answer";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl WebsocketOptions {
    /// Builds the check from valid options.
    pub(super) fn make(self) -> Result<Websocket, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url = Target::read_url(self.url.expose(), "ws://host/path")
            .map_err(|text| errors.push(OptionError::new("url", text)));
        let url = url.ok();
        let sent = HeaderOptions {
            headers: &self.headers,
            basic_auth: self.basic_auth.as_ref(),
            bearer: self.bearer.as_ref(),
            reserved: &RESERVED,
        };
        let headers = sent.read(url.as_ref(), &mut errors);
        let protocol = self.subprotocol.map(|name| {
            let read = HeaderName::from_bytes(name.as_bytes());
            // A token, as header names are (RFC 6455, section 4.1), but of either case.
            read.map_err(|_| {
                let text = "this is no subprotocol; write a name without spaces, such as \"mqtt\"";
                errors.push(OptionError::new("subprotocol", text));
            })
            .map(|_| name)
        });
        let expect = self.expect.regex.as_deref().map(Regex::new).transpose().map_err(|error| {
            errors.push(OptionError::bad_regex("expect.regex", &error));
        });
        let scheme = url.as_ref().map_or("", |url| url.scheme());
        let tls = tls(scheme, self.tls.as_ref()).map_err(|wrong| errors.extend(wrong));
        let target = url.map(|url| {
            let target = Target::websocket(url);
            target.map_err(|error| errors.push(OptionError::new("url", error)))
        });
        let (Some(Ok(target)), Ok(protocol), Ok(expect), Ok(tls), []) =
            (target, protocol.transpose(), expect, tls, errors.as_slice())
        else {
            return Err(errors);
        };
        Ok(Websocket { target, headers, protocol, send: self.send, expect, tls })
    }
}

/// TLS towards a URL of this scheme, which is empty where the URL is wrong itself.
fn tls(scheme: &str, tls: Option<&Tls>) -> Result<Option<TlsClient>, Vec<OptionError>> {
    if let Some(text) = Tls::contradiction(tls, scheme) {
        return Err(vec![OptionError::new("tls", text)]);
    }
    match tls {
        Some(Tls(Some(options))) => TlsClient::new(options, ALPN).map(Some),
        _ if scheme == "wss" => TlsClient::new(&TlsOptions::default(), ALPN).map(Some),
        _ => Ok(None),
    }
}
