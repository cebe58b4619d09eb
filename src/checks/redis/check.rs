//! The check of the `redis` kind: sends `PING`, and judges what `INFO` reports.
//!
//! It speaks the protocol itself, over one connection per run. A client library would spawn tasks
//! and retry in the background. The protocol has no field for a trace context, so none is sent.
//!
//! # What fails a run
//! A missing `PONG`. `INFO` is sent only after `PONG`, because proxies drop the answers of a packet
//! with a command that they do not know. The answer to `INFO` may be missing, unless an option
//! needs it.
//!
//! # Several servers
//! Sentinels and the nodes of a cluster are tried one after the other until one answers: a check
//! opens one connection at a time.

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::Redaction;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Server};
use crate::net::{OptionalQuestion, ServerAddress, TlsClient, attempt, most_telling};

use super::cluster;
use super::connection::{Connection, Login};
use super::info::Expect;
use super::sentinel::Sentinels;

/// A check of one server, of the master that sentinels name, or of a cluster.
pub(super) struct RedisCheck {
    pub(super) target: Target,
    pub(super) tls: Option<TlsClient>,
    pub(super) login: Login,
    /// Number of the database, as the span has it.
    pub(super) namespace: String,
    pub(super) expect: Expect,
    pub(super) redaction: Redaction,
    pub(super) info: OptionalQuestion,
}

/// Which servers are asked.
pub(super) enum Target {
    Server(ServerAddress),
    Sentinels(Sentinels),
    /// The nodes of a cluster that the URL names, at least one.
    Cluster(Vec<ServerAddress>),
}

impl Target {
    /// The server that the check is about, as far as the configuration says.
    fn first(&self) -> Option<&ServerAddress> {
        match self {
            Self::Server(address) => Some(address),
            Self::Sentinels(sentinels) => sentinels.addresses.first(),
            Self::Cluster(nodes) => nodes.first(),
        }
    }
}

#[async_trait]
impl Check for RedisCheck {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn server(&self) -> Option<Server> {
        self.target.first().map(ServerAddress::server)
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "redis"),
            KeyValue::new(semconv::DB_OPERATION_NAME, "PING"),
            KeyValue::new(semconv::DB_NAMESPACE, self.namespace.clone()),
        ];
        attributes.extend(self.target.first().into_iter().flat_map(ServerAddress::attributes));
        cx.client("PING", attributes, Box::pin(self.ask(cx))).await
    }
}

impl RedisCheck {
    pub(super) async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        match &self.target {
            Target::Server(address) => self.ask_server(cx, address).await,
            Target::Sentinels(sentinels) => {
                let master = Box::pin(sentinels.master(cx, self.tls.as_ref())).await?;
                self.ask_server(cx, &master).await
            }
            Target::Cluster(nodes) => Box::pin(self.ask_cluster(cx, nodes)).await,
        }
    }

    async fn ask_server(&self, cx: &Context, address: &ServerAddress) -> Result<Detail, Failure> {
        let mut connection = self.connect(cx, address).await?;
        let detail = cx.phase(Phase::Transfer, self.ping(cx, &mut connection, address)).await;
        detail.inspect_err(|_| connection.record_error(cx))
    }

    /// Opens a connection and awaits the first byte of what is answered to the login and `PING`.
    async fn connect<'a>(
        &'a self,
        cx: &Context,
        address: &'a ServerAddress,
    ) -> Result<Connection<'a>, Failure> {
        let stream = address.open(cx, self.tls.as_ref()).await?;
        let mut connection = Connection::new(address, stream, &self.redaction);
        cx.phase(Phase::Request, connection.begin(&self.login, &["PING"])).await?;
        Ok(connection)
    }

    async fn ping(
        &self,
        cx: &Context,
        connection: &mut Connection<'_>,
        address: &ServerAddress,
    ) -> Result<Detail, Failure> {
        connection.pong(&self.login).await?;
        let sections = if self.expect.max_memory_ratio.is_some() {
            connection.info(["replication", "memory"]).await
        } else if self.expect.role.is_some() {
            let [replication] = connection.info(["replication"]).await;
            let memory = self.optional(cx, connection, ["memory"]).await;
            [replication, memory.map_or_else(|| Ok(String::new()), |[memory]| memory)]
        } else {
            match self.optional(cx, connection, ["replication", "memory"]).await {
                Some(sections) => sections,
                None => return Ok(Detail::ok()),
            }
        };
        self.expect.judge(cx, &address.to_string(), sections)
    }

    /// These sections of `INFO`, which no option needs; `None` where one is not answered.
    async fn optional<const N: usize>(
        &self,
        cx: &Context,
        connection: &mut Connection<'_>,
        sections: [&str; N],
    ) -> Option<[Result<String, Failure>; N]> {
        let info = async {
            let sections = connection.info(sections).await;
            let missing = sections.iter().find_map(|section| section.as_ref().err().cloned());
            missing.map_or(Ok(sections), Err)
        };
        self.info.ask(cx, info).await
    }

    /// Asks the first node of a cluster that answers.
    async fn ask_cluster(&self, cx: &Context, nodes: &[ServerAddress]) -> Result<Detail, Failure> {
        let mut failures = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            match attempt(cx, nodes.len() - index, self.cluster_info(cx, node)).await {
                Ok(info) => return cluster::judge(&node.to_string(), &info),
                Err(failure) => failures.push(failure),
            }
        }
        Err(most_telling("nodes", failures))
    }

    async fn cluster_info(&self, cx: &Context, node: &ServerAddress) -> Result<String, Failure> {
        let mut connection = self.connect(cx, node).await?;
        let info = async {
            connection.pong(&self.login).await?;
            connection.text(&["CLUSTER", "INFO"]).await
        };
        let info = cx.phase(Phase::Transfer, info).await;
        info.inspect_err(|_| connection.record_error(cx))
    }
}
