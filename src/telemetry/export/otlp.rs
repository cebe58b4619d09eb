//! The OTLP client: sends one request to a collector over gRPC or HTTP, and classifies the answer.
//!
//! It reports more than a success or an error: how many spans the collector rejected and why, the
//! kind of a failure, and whether and when to try again. The OTLP specification says which failures
//! may be retried ("OTLP/gRPC Throttling", "Retryable Response Codes").

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use rustls::ClientConfig;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use url::Url;

use super::super::Protocol;
use super::connector::{channel_over_tls, endpoint};
use super::spans::{Accepted, Batch, SpanSource};
use super::target::Target;
use crate::config::Redaction;
use crate::delivery::{
    ErrorType, Exporter, Failure, Retry, client_builder, innermost, refuses_login, retry_after,
    transport_failure,
};
use crate::net::tls_limit;

const USER_AGENT: &str = concat!("vitalsign/", env!("CARGO_PKG_VERSION"));
/// A collector's answer holds a number and a sentence.
const MAX_ANSWER: usize = 64 * 1024;

/// A collector and the connection to it.
pub(in crate::telemetry) struct Client {
    transport: Transport,
    gzip: bool,
    /// What its words must not show: the values of the headers that it is sent.
    redaction: Redaction,
}

enum Transport {
    Grpc {
        endpoint: Box<Endpoint>,
        /// Where TLS is spoken.
        tls: Option<Arc<ClientConfig>>,
        metadata: MetadataMap,
        /// Made on the runtime that drives it, when first sent to.
        channel: Option<TraceServiceClient<Channel>>,
    },
    Http {
        client: reqwest::Client,
        url: Url,
        headers: HeaderMap,
    },
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Prepares a client; the error says what is wrong with the target.
    pub(in crate::telemetry) fn new(target: Target) -> Result<Self, String> {
        let Target { endpoint: url, protocol, headers, gzip, tls, .. } = target;
        let redaction = Redaction::of(headers.values().flat_map(secrets));
        let transport = match protocol {
            Protocol::Grpc => {
                let wrong = |error: tonic::transport::Error| innermost(&error);
                let endpoint = endpoint(&url).map_err(wrong)?;
                let endpoint = Box::new(endpoint.user_agent(USER_AGENT).map_err(wrong)?);
                let secure = url.scheme() == "https";
                let tls = secure.then(|| tls.client_config(&url, &[b"h2"])).transpose()?;
                let (tls, metadata) = (tls.map(Arc::new), MetadataMap::from_headers(headers));
                Transport::Grpc { endpoint, tls, metadata, channel: None }
            }
            Protocol::HttpProtobuf => {
                let config = tls.client_config(&url, &[])?;
                let client = client_builder(config).build().map_err(|error| innermost(&error))?;
                Transport::Http { client, url, headers }
            }
        };
        Ok(Self { transport, gzip, redaction })
    }

    fn accepted(&self, answer: &ExportTraceServiceResponse) -> Accepted {
        let Some(partial) = &answer.partial_success else { return Accepted::default() };
        Accepted {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
            remark: self.redaction.clean(partial.error_message.trim()),
        }
    }
}

impl Exporter<SpanSource> for Client {
    async fn send(&mut self, batch: &Batch) -> Result<Accepted, Failure> {
        let answer = match &mut self.transport {
            Transport::Grpc { endpoint, tls, metadata, channel } => {
                let connect = || connect(endpoint, tls.as_ref(), self.gzip);
                let channel = channel.get_or_insert_with(connect);
                let mut request = tonic::Request::new(batch.request.clone());
                *request.metadata_mut() = metadata.clone();
                let answer = channel.export(request).await;
                answer.map_err(|status| grpc_failure(&status))?.into_inner()
            }
            Transport::Http { client, url, headers } => {
                let mut post = client
                    .post(url.clone())
                    .headers(headers.clone())
                    .header(CONTENT_TYPE, "application/x-protobuf");
                let mut body = batch.request.encode_to_vec();
                if self.gzip {
                    post = post.header(CONTENT_ENCODING, "gzip");
                    body = compress(&body);
                }
                let answer = post.body(body).send().await.map_err(|e| exchange_failure(&e))?;
                if !answer.status().is_success() {
                    return Err(http_failure(answer.status(), answer.headers()));
                }
                // A collector that answers 200 has taken the spans, whatever its body is.
                ExportTraceServiceResponse::decode(&*read(answer).await).unwrap_or_default()
            }
        };
        Ok(self.accepted(&answer))
    }

    fn reconnect(&mut self) {
        // HTTP/1.1 closes a connection with its unanswered request; HTTP/2 would go on with it.
        if let Transport::Grpc { channel, .. } = &mut self.transport {
            *channel = None;
        }
    }
}

/// The texts of a header's value that are secret: the value, and its part behind a scheme.
fn secrets(value: &HeaderValue) -> Vec<String> {
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let token = text.split_once(' ').map(|(_, token)| token.to_owned());
    [Some(text), token].into_iter().flatten().collect()
}

fn connect(
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientConfig>>,
    gzip: bool,
) -> TraceServiceClient<Channel> {
    let channel = match tls {
        Some(config) => channel_over_tls(endpoint, config),
        None => endpoint.connect_lazy(),
    };
    let client = TraceServiceClient::new(channel);
    if !gzip {
        return client;
    }
    client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip)
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The body of an answer, as far as it comes and is not longer than an answer should be.
async fn read(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}

fn exchange_failure(error: &reqwest::Error) -> Failure {
    let mut failure = transport_failure(error);
    if let Some(cause) = tls_limit(error) {
        failure.detail = cause;
    }
    let cause: Option<&hyper::Error> = find(error);
    if cause.is_some_and(hyper::Error::is_parse) {
        // It will not learn the protocol until the next attempt.
        failure.retry = Retry::Never;
    }
    if cause.is_some_and(|e| e.is_parse() || e.is_incomplete_message()) {
        failure.detail = format!(
            "{}; the collector does not answer http/protobuf here: if this is its port for gRPC, \
             set the protocol to grpc (OTEL_EXPORTER_OTLP_PROTOCOL or telemetry.traces_protocol)",
            failure.detail
        );
    }
    failure
}

fn http_failure(status: StatusCode, headers: &HeaderMap) -> Failure {
    let (error_type, retry) = match status.as_u16() {
        429 => (ErrorType::RateLimited, Retry::Soon),
        502..=504 => (ErrorType::Unavailable, Retry::Soon),
        _ if refuses_login(status) => (ErrorType::AuthFailed, Retry::Never),
        400 | 413 => (ErrorType::Rejected, Retry::Never),
        _ => (ErrorType::Other, Retry::Never),
    };
    let retry = match status.as_u16() {
        429 | 503 => retry_after(headers).map_or(retry, Retry::After),
        _ => retry,
    };
    Failure { error_type, detail: format!("HTTP status {}", status.as_u16()), retry }
}

fn grpc_failure(status: &Status) -> Failure {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let transport = status.source();
    let (error_type, retry) = match status.code() {
        Code::Unavailable if transport.is_some() => (ErrorType::Unreachable, Retry::Soon),
        Code::Unavailable => (ErrorType::Unavailable, Retry::Soon),
        Code::DeadlineExceeded => (ErrorType::Timeout, Retry::Soon),
        // Only a collector that names a delay expects to recover.
        Code::ResourceExhausted => (ErrorType::RateLimited, Retry::Never),
        Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::DataLoss => {
            (ErrorType::Other, Retry::Soon)
        }
        Code::Unauthenticated | Code::PermissionDenied => (ErrorType::AuthFailed, Retry::Never),
        Code::InvalidArgument => (ErrorType::Rejected, Retry::Never),
        _ => (ErrorType::Other, Retry::Never),
    };
    let mut retry = match (status.code(), after) {
        (Code::ResourceExhausted | Code::Unavailable, Some(after)) => Retry::After(after),
        _ => retry,
    };
    let mut detail = match transport {
        Some(error) => tls_limit(error).unwrap_or_else(|| innermost(error)),
        None => format!("gRPC status {}", code_name(status.code())),
    };
    if is_not_grpc(status) {
        if transport.is_some() {
            // It will not learn the protocol until the next attempt.
            retry = Retry::Never;
        }
        detail.push_str(
            "; the collector does not answer gRPC here: if this is its port for HTTP, set the \
             protocol to http/protobuf (OTEL_EXPORTER_OTLP_PROTOCOL or telemetry.traces_protocol)",
        );
    }
    Failure { error_type, detail, retry }
}

/// Whether the answer did not come from a gRPC server: HTTP/1.1 in place of frames, or an answer
/// of HTTP/2 without a gRPC status.
fn is_not_grpc(status: &Status) -> bool {
    match status.source() {
        Some(error) => {
            let frames: Option<&h2::Error> = find(error);
            frames.is_some_and(|e| !e.is_io() && !e.is_remote())
        }
        // The words of tonic, which gives no other sign.
        None => status.message().starts_with("grpc-status header missing"),
    }
}

/// The first error of the type among `error` and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The code as the gRPC specification writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::RETRY_AFTER;
    use tonic_types::ErrorDetails;

    use super::*;

    fn http(code: u16, after: Option<&str>) -> (ErrorType, Retry) {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        let failure = http_failure(StatusCode::from_u16(code).unwrap(), &headers);
        (failure.error_type, failure.retry)
    }

    #[test]
    fn http_statuses_are_retried_as_the_specification_says() {
        let seconds = |s| Retry::After(Duration::from_secs(s));
        assert_eq!(http(429, Some("7")), (ErrorType::RateLimited, seconds(7)));
        assert_eq!(http(503, Some("7")), (ErrorType::Unavailable, seconds(7)));
        assert_eq!(http(503, Some("soon")), (ErrorType::Unavailable, Retry::Soon));
        let past = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert_eq!(http(429, Some(past)), (ErrorType::RateLimited, seconds(0)));
        for code in [429, 502, 503, 504] {
            assert_eq!(http(code, None).1, Retry::Soon, "{code}");
        }
        for code in [302, 400, 401, 403, 404, 407, 408, 413, 500, 501] {
            assert_eq!(http(code, Some("7")).1, Retry::Never, "{code}");
        }
        for code in [401, 403, 407] {
            assert_eq!(http(code, None).0, ErrorType::AuthFailed, "{code}");
        }
    }

    #[test]
    fn grpc_statuses_are_retried_as_the_specification_says() {
        let of = |code| grpc_failure(&Status::new(code, "text of the collector"));
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert_eq!(of(code).retry, Retry::Soon, "{code:?}");
        }
        for code in [Code::ResourceExhausted, Code::Internal, Code::Unauthenticated, Code::Unknown]
        {
            assert_eq!(of(code).retry, Retry::Never, "{code:?}");
        }
        assert_eq!(of(Code::Internal).detail, "gRPC status INTERNAL");
        let delay = Duration::from_secs(3);
        let details = ErrorDetails::with_retry_info(Some(delay));
        let status = Status::with_error_details(Code::ResourceExhausted, "", details);
        assert_eq!(grpc_failure(&status).retry, Retry::After(delay));
    }
}
