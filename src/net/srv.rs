//! Queries DNS records of the types SRV (RFC 2782) and TXT.

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};

use super::endpoint::Endpoint;
use super::resolve::{as_written, refuse, shared};

/// Most servers that are taken from one answer.
const MOST: usize = 50;

/// The servers of the service `name`, such as `_mongodb._tcp.cluster.example`, at least one, in the
/// order in which they are to be asked.
pub(crate) async fn lookup_srv(cx: &Context, name: &str) -> Result<Vec<Endpoint>, Failure> {
    cx.phase(Phase::Resolve, Box::pin(srv(&shared()?.0, name))).await
}

/// The texts of `name`; none where it has no such record.
pub(crate) async fn lookup_txt(cx: &Context, name: &str) -> Result<Vec<String>, Failure> {
    cx.phase(Phase::Resolve, Box::pin(txt(&shared()?.0, name))).await
}

async fn srv(resolver: &TokioResolver, name: &str) -> Result<Vec<Endpoint>, Failure> {
    let found = resolver.lookup(as_written(name)?, RecordType::SRV).await;
    let found = found.map_err(|error| refuse(name, &error))?;
    let mut listed: Vec<_> = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => {
                let host = srv.target.to_ascii();
                let endpoint = format!("{}:{}", host.trim_end_matches('.'), srv.port);
                Some((srv.priority, Endpoint::parse(&endpoint).ok()?))
            }
            _ => None,
        })
        .collect();
    listed.sort_by_key(|(priority, _)| *priority);
    let servers: Vec<_> = listed.into_iter().map(|(_, server)| server).take(MOST).collect();
    if servers.is_empty() {
        return Err(Failure::new(Reason::DnsNotFound, format!("{name} lists no server")));
    }
    Ok(servers)
}

async fn txt(resolver: &TokioResolver, name: &str) -> Result<Vec<String>, Failure> {
    let found = match resolver.lookup(as_written(name)?, RecordType::TXT).await {
        Ok(found) => found,
        Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(refuse(name, &error)),
    };
    let texts = found.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
        _ => None,
    });
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{SRV, TXT};
    use hickory_resolver::proto::rr::{Name, Record};
    use tokio::net::UdpSocket;

    use super::*;

    /// A resolver whose name server lists two servers and a text under `example`, nothing under
    /// `empty.example`, and knows no other name.
    async fn resolver() -> TokioResolver {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                let mut message = Message::from_vec(&buffer[..length]).unwrap();
                message.metadata.message_type = MessageType::Response;
                let query = message.queries[0].clone();
                let name = query.name().clone();
                let target = |text: &str| Name::from_ascii(text).unwrap();
                match (name.to_lowercase().to_utf8().as_str(), query.query_type()) {
                    ("_mongodb._tcp.example.", RecordType::SRV) => {
                        for srv in [
                            SRV::new(2, 0, 27018, target("later.db.example.")),
                            SRV::new(1, 0, 27017, target("first.db.example.")),
                        ] {
                            let record = Record::from_rdata(name.clone(), 60, RData::SRV(srv));
                            message.answers.push(record);
                        }
                    }
                    ("example.", RecordType::TXT) => {
                        let txt = TXT::new(vec!["authSource=".to_owned(), "users".to_owned()]);
                        message.answers.push(Record::from_rdata(name, 60, RData::TXT(txt)));
                    }
                    ("empty.example.", _) => {}
                    _ => message.metadata.response_code = ResponseCode::NXDomain,
                }
                socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
            }
        });
        let mut connection = ConnectionConfig::udp();
        connection.port = port;
        let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let provider = TokioRuntimeProvider::default();
        TokioResolver::builder_with_config(config, provider).build().unwrap()
    }

    #[tokio::test]
    async fn servers_are_asked_in_the_order_of_their_priority() {
        let resolver = resolver().await;
        let found = srv(&resolver, "_mongodb._tcp.example").await.expect("servers");
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["first.db.example:27017", "later.db.example:27018"]);
        for name in ["_mongodb._tcp.nowhere.example", "empty.example"] {
            let failure = srv(&resolver, name).await.expect_err(name);
            assert_eq!(failure.reason(), Reason::DnsNotFound, "{}", failure.message());
        }
    }

    #[tokio::test]
    async fn the_parts_of_a_text_belong_together_and_a_missing_text_is_none() {
        let resolver = resolver().await;
        assert_eq!(
            txt(&resolver, "example").await.as_deref(),
            Ok(&["authSource=users".to_owned()][..])
        );
        for name in ["nowhere.example", "empty.example"] {
            assert_eq!(txt(&resolver, name).await.as_deref(), Ok(&[][..]), "{name}");
        }
    }
}
