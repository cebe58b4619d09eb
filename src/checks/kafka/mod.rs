//! The `kafka` kind: logs in to a broker and checks its cluster and a topic.
//!
//! It speaks the protocol itself, over one connection per run: a client library would also connect
//! to the other brokers of the cluster. Only records have headers for a trace context, and it
//! produces no record, so it sends no trace context.
//!
//! Its requests were tested against the broker Tansu. Logins, faults of topics, and behaviour that
//! depends on versions were tested against scripted peers that follow the protocol's documentation.

mod codec;
mod expect;
mod login;
mod options;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::checks::broker::attributes;
use crate::config::{KindOptions, Redaction};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, Session, TlsClient};

use codec::{API_VERSIONS, Api, ApiVersions, Cluster, Fields, METADATA};
use expect::Expect;
use login::Login;
pub(crate) use options::KafkaOptions;

/// Highest number of bytes that are read: a topic with ten thousand partitions takes about half of
/// it.
const MOST: usize = 1024 * 1024;

const PROTOCOL: &str = "the protocol of Kafka";

/// A check of one broker, made of its options.
struct Kafka {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    login: Option<Login>,
    expect: Expect,
    redaction: Redaction,
}

/// A connection, and the number of the last request.
struct Connection<'a> {
    session: Session<'a>,
    number: i32,
}

impl<'a> Connection<'a> {
    /// The first number is one that other protocols are unlikely to have at this position.
    fn new(session: Session<'a>) -> Self {
        Self { session, number: i32::from_be_bytes(*b"vita") }
    }

    async fn send(&mut self, api: Api, fields: &[u8]) {
        self.number += 1;
        self.session.send(&codec::request(api, self.number, fields)).await;
    }

    /// The answer to the last request.
    async fn receive<T>(
        &mut self,
        read: impl Fn(&mut Fields<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let number = self.number;
        self.session.next(|bytes| codec::answer(bytes, number, MOST, &read)).await
    }
}

#[async_trait]
impl Check for Kafka {
    fn kind(&self) -> &'static str {
        KafkaOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = attributes("kafka", "metadata", &self.endpoint);
        attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "kafka"));
        let mut name = "metadata".to_owned();
        if let Some(topic) = &self.expect.topic {
            attributes.push(KeyValue::new(semconv::MESSAGING_DESTINATION_NAME, topic.clone()));
            name = format!("{name} {topic}");
        }
        cx.client(&name, attributes, Box::pin(self.ask(cx))).await
    }
}

impl Kafka {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        let mut connection =
            Connection::new(Session::new(&self.endpoint, PROTOCOL, stream).limit(MOST));
        cx.phase(Phase::Request, async {
            connection.send(API_VERSIONS, &[]).await;
            connection.session.first_byte().await
        })
        .await?;
        let cluster = cx.phase(Phase::Transfer, self.converse(&mut connection)).await?;
        connection.session.close().await;
        self.expect.judge(cx, &self.endpoint, &cluster)
    }

    /// Logs in and asks for the metadata, each with requests that the broker knows.
    async fn converse(&self, connection: &mut Connection<'_>) -> Result<Cluster, Failure> {
        let known = connection.receive(ApiVersions::read).await?;
        if known.error != 0 {
            return Err(self.unknown(API_VERSIONS));
        }
        if let Some(login) = &self.login {
            for api in login::APIS {
                self.must_know(&known, api)?;
            }
            self.log_in(connection, login).await?;
        }
        self.must_know(&known, METADATA)?;
        connection.send(METADATA, &codec::metadata(self.expect.topic.as_deref())).await;
        let cluster = connection.receive(Cluster::read).await;
        cluster.map_err(|failure| self.without_login(failure))
    }

    fn must_know(&self, known: &ApiVersions, api: Api) -> Result<(), Failure> {
        if known.includes(api) { Ok(()) } else { Err(self.unknown(api)) }
    }

    fn unknown(&self, api: Api) -> Failure {
        let Api { name, version, .. } = api;
        let text = format!("{} does not know version {version} of {name}", self.endpoint);
        Failure::new(Reason::Protocol, text)
    }

    /// A broker that requires a login just closes the connection if there is none.
    fn without_login(&self, failure: Failure) -> Failure {
        if self.login.is_some() || failure.reason() != Reason::ConnectionReset {
            return failure;
        }
        let text = format!("{}; it may want a login", failure.message());
        Failure::new(failure.reason(), text)
    }
}
