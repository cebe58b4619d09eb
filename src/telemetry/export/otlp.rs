//! The OTLP client: one request to a collector over gRPC or HTTP, and what came of it.
//!
//! It tells more than a success or an error: how many spans the collector rejected, the kind of a
//! failure from a short closed list, and whether and when to try again. Which failures may be
//! retried is the OTLP specification's word ("OTLP/gRPC Throttling", "Retryable Response Codes").

use std::fmt;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use url::Url;

use super::super::Protocol;
use super::target::Target;

const USER_AGENT: &str = concat!("vitalsign/", env!("CARGO_PKG_VERSION"));
/// A collector's answer holds a number and a sentence.
const MAX_ANSWER: usize = 64 * 1024;

/// Why spans were not taken: the `error_type` of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum Kind {
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable,
    /// It asks for less.
    RateLimited,
    /// It answers that it does not serve now.
    Unavailable,
    AuthFailed,
    /// It took the request and refused spans, or refused the request as such.
    Rejected,
    /// This side was told to stop.
    Shutdown,
    Other,
}

impl Kind {
    pub(in crate::telemetry) const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Unreachable,
        Self::RateLimited,
        Self::Unavailable,
        Self::AuthFailed,
        Self::Rejected,
        Self::Shutdown,
        Self::Other,
    ];

    pub(in crate::telemetry) const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::AuthFailed => "auth_failed",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
            Self::Other => "other",
        }
    }
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum Retry {
    Never,
    Soon,
    /// Not before the collector's own word.
    After(Duration),
}

/// A request that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::telemetry) struct Failure {
    pub(in crate::telemetry) kind: Kind,
    /// For people; never the collector's own text, which may repeat what it was sent.
    pub(in crate::telemetry) detail: String,
    pub(in crate::telemetry) retry: Retry,
}

/// Spans that the collector rejected of a request it took.
pub(in crate::telemetry) type Rejected = u64;

/// A collector and the connection to it.
pub(in crate::telemetry) enum Client {
    Grpc {
        endpoint: Box<Endpoint>,
        metadata: MetadataMap,
        gzip: bool,
        /// Made on the runtime that drives it, when first sent to.
        channel: Option<TraceServiceClient<Channel>>,
    },
    Http {
        client: reqwest::Client,
        url: Url,
        headers: HeaderMap,
        gzip: bool,
    },
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Prepares a client; the error tells what is wrong with the target.
    pub(in crate::telemetry) fn new(target: Target) -> Result<Self, String> {
        let Target { endpoint: url, protocol, headers, gzip, tls, .. } = target;
        match protocol {
            Protocol::Grpc => {
                let wrong = |error: tonic::transport::Error| deepest(&error);
                let endpoint = Endpoint::from_shared(String::from(url.clone())).map_err(wrong)?;
                let mut endpoint = endpoint.user_agent(USER_AGENT).map_err(wrong)?;
                if url.scheme() == "https" {
                    endpoint = endpoint.tls_config(tls.tonic()).map_err(wrong)?;
                }
                let metadata = MetadataMap::from_headers(headers);
                Ok(Self::Grpc { endpoint: Box::new(endpoint), metadata, gzip, channel: None })
            }
            Protocol::HttpProtobuf => {
                let config = tls.rustls(&url).map_err(|error| error.to_string())?;
                let client = reqwest::Client::builder()
                    .tls_backend_preconfigured(config)
                    .user_agent(USER_AGENT)
                    // A redirect would carry the headers to another host.
                    .redirect(Policy::none())
                    .build()
                    .map_err(|error| deepest(&error))?;
                Ok(Self::Http { client, url, headers, gzip })
            }
        }
    }

    /// Sends `request` once.
    pub(in crate::telemetry) async fn send(
        &mut self,
        request: ExportTraceServiceRequest,
    ) -> Result<Rejected, Failure> {
        match self {
            Self::Grpc { endpoint, metadata, gzip, channel } => {
                let channel = channel.get_or_insert_with(|| connect(endpoint, *gzip));
                let mut request = tonic::Request::new(request);
                *request.metadata_mut() = metadata.clone();
                let answer = channel.export(request).await.map_err(|status| of_grpc(&status))?;
                Ok(rejected(&answer.into_inner()))
            }
            Self::Http { client, url, headers, gzip } => {
                let mut post = client
                    .post(url.clone())
                    .headers(headers.clone())
                    .header(CONTENT_TYPE, "application/x-protobuf");
                let mut body = request.encode_to_vec();
                if *gzip {
                    post = post.header(CONTENT_ENCODING, "gzip");
                    body = compress(&body);
                }
                let answer = post.body(body).send().await.map_err(|error| of_transport(&error))?;
                if !answer.status().is_success() {
                    return Err(of_http(answer.status(), answer.headers()));
                }
                let body = read(answer).await?;
                // A collector that answers 200 has taken the spans, whatever it says of them.
                Ok(ExportTraceServiceResponse::decode(&*body).map_or(0, |answer| rejected(&answer)))
            }
        }
    }

    /// Leaves a connection that did not answer; the next request opens another.
    pub(in crate::telemetry) fn reconnect(&mut self) {
        // HTTP/1.1 closes a connection with its unanswered request; HTTP/2 would go on with it.
        if let Self::Grpc { channel, .. } = self {
            *channel = None;
        }
    }
}

fn connect(endpoint: &Endpoint, gzip: bool) -> TraceServiceClient<Channel> {
    let client = TraceServiceClient::new(endpoint.connect_lazy());
    if !gzip {
        return client;
    }
    client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip)
}

fn rejected(answer: &ExportTraceServiceResponse) -> Rejected {
    let rejected = answer.partial_success.as_ref().map_or(0, |partial| partial.rejected_spans);
    u64::try_from(rejected).unwrap_or(0)
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| of_transport(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause: it names no URL.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn of_transport(error: &reqwest::Error) -> Failure {
    let kind = if error.is_connect() { Kind::Unreachable } else { Kind::Other };
    Failure { kind, detail: deepest(error), retry: Retry::Soon }
}

fn of_http(status: StatusCode, headers: &HeaderMap) -> Failure {
    let (kind, retry) = match status.as_u16() {
        429 => (Kind::RateLimited, Retry::Soon),
        502..=504 => (Kind::Unavailable, Retry::Soon),
        401 | 403 => (Kind::AuthFailed, Retry::Never),
        400 | 413 => (Kind::Rejected, Retry::Never),
        _ => (Kind::Other, Retry::Never),
    };
    let retry = match (status.as_u16(), headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok())) {
        (429 | 503, Some(after)) => retry_after(after).map_or(retry, Retry::After),
        _ => retry,
    };
    Failure { kind, detail: format!("HTTP status {}", status.as_u16()), retry }
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    let wait = date.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

fn of_grpc(status: &Status) -> Failure {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let transport = std::error::Error::source(status);
    let (kind, retry) = match status.code() {
        Code::Unavailable if transport.is_some() => (Kind::Unreachable, Retry::Soon),
        Code::Unavailable => (Kind::Unavailable, Retry::Soon),
        Code::DeadlineExceeded => (Kind::Timeout, Retry::Soon),
        // Only a collector that names a delay expects to recover.
        Code::ResourceExhausted => (Kind::RateLimited, Retry::Never),
        Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::DataLoss => {
            (Kind::Other, Retry::Soon)
        }
        Code::Unauthenticated | Code::PermissionDenied => (Kind::AuthFailed, Retry::Never),
        Code::InvalidArgument => (Kind::Rejected, Retry::Never),
        _ => (Kind::Other, Retry::Never),
    };
    let retry = match (status.code(), after) {
        (Code::ResourceExhausted | Code::Unavailable, Some(after)) => Retry::After(after),
        _ => retry,
    };
    let detail = match transport {
        Some(error) => deepest(error),
        None => format!("gRPC status {:?}", status.code()),
    };
    Failure { kind, detail, retry }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn http(code: u16, after: Option<&str>) -> (Kind, Retry) {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        let failure = of_http(StatusCode::from_u16(code).unwrap(), &headers);
        (failure.kind, failure.retry)
    }

    #[test]
    fn http_statuses_are_retried_as_the_specification_says() {
        let seconds = |s| Retry::After(Duration::from_secs(s));
        assert_eq!(http(429, Some("7")), (Kind::RateLimited, seconds(7)));
        assert_eq!(http(503, Some("7")), (Kind::Unavailable, seconds(7)));
        assert_eq!(http(503, Some("soon")), (Kind::Unavailable, Retry::Soon));
        let past = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert_eq!(http(429, Some(past)), (Kind::RateLimited, seconds(0)));
        for code in [429, 502, 503, 504] {
            assert_eq!(http(code, None).1, Retry::Soon, "{code}");
        }
        for code in [302, 400, 401, 403, 404, 408, 413, 500, 501] {
            assert_eq!(http(code, Some("7")).1, Retry::Never, "{code}");
        }
    }

    #[test]
    fn grpc_statuses_are_retried_as_the_specification_says() {
        let of = |code| of_grpc(&Status::new(code, "text of the collector"));
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
        assert_eq!(of(Code::Internal).detail, "gRPC status Internal");
        let delay = Duration::from_secs(3);
        let details = ErrorDetails::with_retry_info(Some(delay));
        let status = Status::with_error_details(Code::ResourceExhausted, "", details);
        assert_eq!(of_grpc(&status).retry, Retry::After(delay));
    }
}
