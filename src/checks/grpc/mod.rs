//! The `grpc` kind: requests the status of a service with gRPC's health protocol.
//!
//! It uses h2 directly: the run itself drives the connection, so no task outlives the run, and
//! dropping the run closes the connection.

mod call;
mod status;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use opentelemetry::KeyValue;
use opentelemetry::propagation::Injector as _;
use opentelemetry_semantic_conventions::attribute as semconv;
use prost::Message;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Tls};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::grpc_health::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use crate::model::{Measurement, Phase, Reason, Server};
use crate::net::{self, Endpoint, NOT_AFTER, Stream, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use call::{Body, Call};

/// The status of a service that a server reports with gRPC's health protocol,
/// `grpc.health.v1.Health/Check`.
///
/// Only `SERVING` is a success. The run fails with `not_serving` for any other status, for a
/// service that the server does not know, and for a server that is `UNAVAILABLE`. It fails with
/// `protocol` for a server without the health protocol (`UNIMPLEMENTED`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrpcOptions {
    /// Where to connect: `"orders:50051"`, `"127.0.0.1:50051"` or `"[::1]:50051"`.
    address: String,
    /// Name of the service, such as `"orders.v1.Orders"`. Default `""`: the server as a whole.
    #[serde(default)]
    service: String,
    /// Use TLS: `true`, or a table of options. Default `false`.
    #[serde(default)]
    tls: Tls,
}

const METHOD: &str = "grpc.health.v1.Health/Check";

const USER_AGENT: &str = concat!("vitalsign/", env!("CARGO_PKG_VERSION"));

/// Protocol that TLS must agree on.
const ALPN: &[u8] = b"h2";

impl KindOptions for GrpcOptions {
    const NAME: &'static str = "grpc";
    const SUMMARY: &'static str = "grpc.health.v1.Health/Check";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl GrpcOptions {
    /// Builds the check from valid options.
    fn make(self) -> Result<Grpc, Vec<OptionError>> {
        let mut errors = Vec::new();
        let endpoint = Endpoint::parse(&self.address)
            .map_err(|error| errors.push(OptionError::new("address", error)));
        let tls = self.tls.0.map(|options| TlsClient::new(&options, &[ALPN])).transpose();
        let tls = tls.map_err(|wrong| errors.extend(wrong));
        let (Ok(endpoint), Ok(tls)) = (endpoint, tls) else {
            return Err(errors);
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{endpoint}/{METHOD}").parse().map_err(|_| {
            let text = "the host is none that a request can name; write its name or address";
            vec![OptionError::new("address", text)]
        })?;
        let message = framed(&HealthCheckRequest { service: self.service.clone() });
        Ok(Grpc { endpoint, uri, service: self.service, message, tls })
    }
}

/// A message as it is sent: a flag for compression, its length, and its bytes.
fn framed(message: &HealthCheckRequest) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(call::PREFIX + length);
    frame.put_u8(0);
    // A configuration cannot contain a text of 4 GiB.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

struct Grpc {
    endpoint: Endpoint,
    uri: Uri,
    service: String,
    message: Bytes,
    tls: Option<TlsClient>,
}

#[async_trait]
impl Check for Grpc {
    fn kind(&self) -> &'static str {
        GrpcOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let attributes = vec![
            KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc"),
            KeyValue::new(semconv::RPC_METHOD, METHOD),
            address,
            port,
        ];
        cx.client(METHOD, attributes, Box::pin(self.ask(cx))).await
    }
}

impl Grpc {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        self.agreed(&stream)?;
        let failed = |error: h2::Error| call::failure(&self.endpoint, &error);
        let mut call = Call::new(stream).await.map_err(failed)?;
        let sending = call.send(self.request(cx), self.message.clone());
        let head = cx.phase(Phase::Request, sending).await.map_err(failed)?;
        if !status::is_said(&head.headers) {
            self.head(cx, head.status, &head.headers)?;
        }
        let reading = call.read(&self.endpoint);
        let Body { message, trailers } = cx.phase(Phase::Transfer, reading).await?;
        // An answer without a message has its status in the headers.
        let status = trailers.as_ref().filter(|trailers| status::is_said(trailers));
        let status = status.unwrap_or(&head.headers);
        status::judge(cx, &self.endpoint, &self.service, status)?;
        self.judge(&message)
    }

    /// Whether TLS has agreed on HTTP/2, as gRPC demands.
    fn agreed(&self, stream: &Stream) -> Result<(), Failure> {
        match stream {
            Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() != Some(ALPN) => {
                Err(self.wrong(Reason::Protocol, "does not offer HTTP/2 over TLS (ALPN)"))
            }
            _ => Ok(()),
        }
    }

    fn request(&self, cx: &Context) -> Request<()> {
        let mut sent = net::Carrier(HeaderMap::with_capacity(8));
        sent.0.insert(header::TE, HeaderValue::from_static("trailers"));
        sent.0.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        sent.0.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        sent.set("grpc-timeout", status::timeout(cx.remaining()));
        cx.inject(&mut sent);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = sent.0;
        request
    }

    /// Whether the headers are those of a gRPC answer, although they have no gRPC status.
    fn head(&self, cx: &Context, status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
        if status != StatusCode::OK {
            return Err(status::of_http(cx, &self.endpoint, status));
        }
        let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind.is_none_or(|kind| !kind.starts_with(b"application/grpc")) {
            return Err(self.wrong(Reason::Protocol, "answered HTTP that is not gRPC"));
        }
        Ok(())
    }

    /// Judges the message of a call that went well.
    fn judge(&self, message: &[u8]) -> Result<Detail, Failure> {
        let broken = || self.wrong(Reason::Protocol, "answered what is no HealthCheckResponse");
        let (prefix, message) = message.split_at_checked(call::PREFIX).ok_or_else(broken)?;
        let whole = prefix[0] == 0 && call::announced(prefix) == Some(message.len());
        let message = whole.then_some(message).ok_or_else(broken)?;
        let answer = HealthCheckResponse::decode(message).map_err(|_| broken())?;
        let said = match ServingStatus::try_from(answer.status) {
            Ok(ServingStatus::Serving) => return Ok(Detail::ok()),
            Ok(status) => status.as_str(),
            Err(_) => "a status that the protocol does not have",
        };
        let what = format!("says {said} of {}", status::named(&self.service));
        Err(self.wrong(Reason::NotServing, &what).answered())
    }

    fn wrong(&self, reason: Reason, what: &str) -> Failure {
        Failure::new(reason, format!("{} {what}", self.endpoint))
    }
}
