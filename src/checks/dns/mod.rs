//! The `dns` kind: one query to one name server, and what is expected of its answer.
//!
//! The query goes straight to that server: no cache, no search list and no other server stands
//! in between, so that the answer is this server's own.

mod answer;
mod exchange;
mod options;

use std::borrow::Cow;

use async_trait::async_trait;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::KindOptions;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Reason, Server};
use crate::net::{self, Endpoint, Host};

use answer::Wanted;
use exchange::{Datagram, over_tcp, over_udp};
pub(crate) use options::DnsOptions;
use options::{PORT, Transport};

/// A check of one name at one server, made of its options.
struct Dns {
    name: Name,
    record_type: RecordType,
    /// The server to ask; the system's first where there is none.
    resolver: Option<Endpoint>,
    transport: Transport,
    code: ResponseCode,
    contains: Vec<Wanted>,
}

#[async_trait]
impl Check for Dns {
    fn kind(&self) -> &'static str {
        DnsOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        self.resolver.as_ref().map(Endpoint::server)
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let server = match &self.resolver {
            Some(server) => Cow::Borrowed(server),
            None => Cow::Owned(system_server()?),
        };
        let over_tcp = match self.transport {
            Transport::Tcp => Some(server.into_owned()),
            Transport::Udp => {
                let call = Box::pin(self.by_datagram(cx, &server));
                cx.client(SPAN, self.attributes(&server, "udp"), call).await?
            }
        };
        if let Some(server) = over_tcp {
            let call = Box::pin(self.by_connection(cx, &server));
            cx.client(SPAN, self.attributes(&server, "tcp"), call).await?;
        }
        Ok(Detail::ok())
    }
}

const SPAN: &str = "dns query";

impl Dns {
    /// Asks by a datagram; returns where to ask again over a connection, if it did not fit: at
    /// the same address, even where the name of the server has several.
    async fn by_datagram(
        &self,
        cx: &Context,
        server: &Endpoint,
    ) -> Result<Option<Endpoint>, Failure> {
        let (datagram, peer) = over_udp(cx, server, self).await?;
        match datagram {
            Datagram::Truncated => Ok(Endpoint::new(Host::Ip(peer.ip()), peer.port())),
            Datagram::Answer(message) => self.judge(cx, server, &message).map(|()| None),
        }
    }

    async fn by_connection(&self, cx: &Context, server: &Endpoint) -> Result<(), Failure> {
        let message = over_tcp(cx, server, self).await?;
        self.judge(cx, server, &message)
    }

    fn attributes(&self, server: &Endpoint, transport: &'static str) -> Vec<KeyValue> {
        let [address, port] = server.attributes();
        vec![
            address,
            port,
            KeyValue::new(semconv::NETWORK_TRANSPORT, transport),
            KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "dns"),
            KeyValue::new(semconv::DNS_QUESTION_NAME, self.shown()),
        ]
    }

    /// The name without its final dot.
    fn shown(&self) -> String {
        let name = self.name.to_ascii();
        match name.strip_suffix('.') {
            None | Some("") => name,
            Some(name) => name.to_owned(),
        }
    }
}

/// The system's first name server; asked for at each run, as it changes when a VPN comes up.
fn system_server() -> Result<Endpoint, Failure> {
    let none = |what: String| {
        Failure::new(Reason::DnsFailed, format!("this host names no name server: {what}"))
    };
    let (config, _) = read_system_conf().map_err(|error| none(net::brief(error)))?;
    let first = config.name_servers().first();
    first
        .and_then(|server| Endpoint::new(Host::Ip(server.ip), PORT))
        .ok_or_else(|| none("set `resolver`".to_owned()))
}
