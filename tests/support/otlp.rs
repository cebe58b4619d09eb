//! An OTLP collector in the test: gRPC and HTTP/protobuf on free loopback ports, with the spans it
//! took kept to be read, and answers as bad as a test wants them.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;

/// What the collector answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// It takes the spans.
    Take,
    /// It takes the request and rejects so many of its spans.
    Reject(i64),
    /// It never answers.
    Hang,
    /// It fails: an HTTP status with headers, or a gRPC status.
    Fail(u16, &'static [(&'static str, &'static str)]),
    Status(tonic::Code),
}

/// A request that arrived, taken or not.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// A span that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) resource: Vec<KeyValue>,
    /// The schemas of the resource and of the scope.
    pub(crate) schemas: [String; 2],
}

impl Received {
    /// A resource attribute as text.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        text(&self.resource, key)
    }

    /// A span attribute as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }

    /// The trace id as hexadecimal digits.
    pub(crate) fn trace_id(&self) -> String {
        let bytes = self.span.trace_id.as_slice().try_into().expect("16 bytes");
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

/// The collector.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    answers: Mutex<Vec<Answer>>,
    seen: watch::Sender<Seen>,
}

#[derive(Default, Clone)]
struct Seen {
    spans: Vec<Received>,
    requests: Vec<Request>,
}

impl Collector {
    /// Starts one that takes everything.
    pub(crate) async fn start() -> Self {
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            grpc: grpc.local_addr().unwrap(),
            http: http.local_addr().unwrap(),
            inner: Arc::new(Inner {
                answers: Mutex::new(vec![Answer::Take]),
                seen: watch::Sender::default(),
            }),
        };
        let service = TraceServiceServer::new(collector.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(grpc)));
        let routes = axum::Router::new().fallback(over_http).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(http, routes).await });
        collector
    }

    /// Gives these answers in turn, the last one for good.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        *self.inner.answers.lock().unwrap() = answers;
    }

    /// The spans taken so far.
    pub(crate) fn spans(&self) -> Vec<Received> {
        self.inner.seen.borrow().spans.clone()
    }

    /// The requests that arrived so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.inner.seen.borrow().requests.clone()
    }

    /// Waits until at least `count` spans were taken.
    pub(crate) async fn wait_for_spans(&self, count: usize) -> Vec<Received> {
        self.wait("spans", move |seen| seen.spans.len() >= count).await;
        self.spans()
    }

    /// Waits until at least `count` requests have arrived.
    pub(crate) async fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        self.wait("requests", move |seen| seen.requests.len() >= count).await;
        self.requests()
    }

    /// Puts TLS before it, with a certificate of its own for `localhost`, which it returns.
    pub(crate) async fn behind_tls(&self, grpc: bool) -> (SocketAddr, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.into()], key.unwrap())
            .unwrap();
        (self.behind(config, grpc).await, pem)
    }

    /// Puts TLS as configured before it.
    pub(crate) async fn behind(&self, mut config: rustls::ServerConfig, grpc: bool) -> SocketAddr {
        config.alpn_protocols = vec![if grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = if grpc { self.grpc } else { self.http };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream).await?;
                    let mut server = tokio::net::TcpStream::connect(plain).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        address
    }

    /// Puts a listener before it whose first connection takes everything and answers nothing.
    pub(crate) async fn behind_a_silent_first_connection(&self, grpc: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = if grpc { self.grpc } else { self.http };
        tokio::spawn(async move {
            let (mut silent, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                tokio::io::copy(&mut silent, &mut tokio::io::sink()).await?;
                std::future::pending::<std::io::Result<()>>().await
            });
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(plain).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        address
    }

    async fn wait(&self, what: &str, enough: impl FnMut(&Seen) -> bool) {
        let mut seen = self.inner.seen.subscribe();
        let wait = tokio::time::timeout(Duration::from_secs(30), seen.wait_for(enough));
        assert!(wait.await.is_ok(), "too few {what} arrived: {:?}", self.requests());
    }

    async fn take(
        &self,
        path: &str,
        headers: HeaderMap,
        request: ExportTraceServiceRequest,
    ) -> Answer {
        let answer = {
            let mut answers = self.inner.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() }
        };
        self.inner.seen.send_modify(|seen| {
            seen.requests.push(Request { path: path.to_owned(), headers });
            if !matches!(answer, Answer::Take | Answer::Reject(_)) {
                return;
            }
            for resource_spans in request.resource_spans {
                let resource = resource_spans.resource.unwrap_or_default().attributes;
                for scope in resource_spans.scope_spans {
                    let schemas = [resource_spans.schema_url.clone(), scope.schema_url];
                    let received = |span| Received {
                        span,
                        resource: resource.clone(),
                        schemas: schemas.clone(),
                    };
                    seen.spans.extend(scope.spans.into_iter().map(received));
                }
            }
        });
        if answer == Answer::Hang {
            std::future::pending::<()>().await;
        }
        answer
    }
}

/// The answer of a collector that says something of the spans that it took.
fn response(rejected: i64) -> ExportTraceServiceResponse {
    // It repeats what it was sent, as servers may.
    let error_message = "a span was too old for hunter2".to_owned();
    let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message };
    ExportTraceServiceResponse { partial_success: Some(partial) }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let headers = request.metadata().clone().into_headers();
        match self.take("", headers, request.into_inner()).await {
            Answer::Reject(count) => Ok(tonic::Response::new(response(count))),
            Answer::Status(code) => Err(tonic::Status::new(code, "secret text of the collector")),
            _ => Ok(tonic::Response::new(ExportTraceServiceResponse::default())),
        }
    }
}

async fn over_http(
    State(collector): State<Collector>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut plain = body.to_vec();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        plain.clear();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    }
    let request = ExportTraceServiceRequest::decode(&*plain).unwrap();
    match collector.take(uri.path(), headers, request).await {
        Answer::Reject(count) => response(count).encode_to_vec().into_response(),
        Answer::Fail(code, headers) => {
            let code = StatusCode::from_u16(code).unwrap();
            let mut response = (code, "secret text of the collector").into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        }
        _ => ExportTraceServiceResponse::default().encode_to_vec().into_response(),
    }
}
