//! The `dns` kind: sends one query to one name server and checks the answer.
//!
//! The query goes directly to that server, without a cache, a search list or another server in
//! between. So the answer is from this server.

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
use exchange::{Datagram, Edns, over_tcp, over_udp};
pub(crate) use options::DnsOptions;
use options::{PORT, Transport};

/// A check of one name at one server.
struct Dns {
    name: Name,
    record_type: RecordType,
    /// The server to ask; without one, the first of the system's.
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
            Transport::Tcp => Some((server.into_owned(), Edns::With)),
            Transport::Udp => {
                let call = Box::pin(self.by_datagram(cx, &server));
                cx.client(SPAN, self.attributes(&server, "udp"), call).await?
            }
        };
        if let Some((server, edns)) = over_tcp {
            let call = Box::pin(self.by_connection(cx, &server, edns));
            cx.client(SPAN, self.attributes(&server, "tcp"), call).await?;
        }
        Ok(Detail::ok())
    }
}

const SPAN: &str = "dns query";

impl Dns {
    /// Queries over UDP. If the answer was truncated, returns the address for the query over TCP:
    /// the same one, even if the name of the server has several.
    async fn by_datagram(
        &self,
        cx: &Context,
        server: &Endpoint,
    ) -> Result<Option<(Endpoint, Edns)>, Failure> {
        let (datagram, peer) = over_udp(cx, server, self).await?;
        match datagram {
            Datagram::Truncated(edns) => {
                let server = Endpoint::new(Host::Ip(peer.ip()), peer.port());
                Ok(server.map(|server| (server, edns)))
            }
            Datagram::Answer(message) => self.judge(cx, server, &message).map(|()| None),
        }
    }

    async fn by_connection(
        &self,
        cx: &Context,
        server: &Endpoint,
        edns: Edns,
    ) -> Result<(), Failure> {
        let message = over_tcp(cx, server, self, edns).await?;
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

/// The system's first name server, read in each run: it changes when a VPN comes up.
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
