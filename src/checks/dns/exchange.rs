//! A query on its way to a name server, and its answer on the way back.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::Dns;
use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};
use crate::net::{self, Endpoint};

/// What we say that we take in a datagram: it fits into any network without fragments, the
/// choice of DNS Flag Day 2020.
const PAYLOAD: u16 = 1232;

/// Longest datagram that is read; a server that sends more does not heed what we say.
const MOST: usize = 4096;

/// RFC 1035, section 4.1.1.
const HEADER: usize = 12;

/// What came back over UDP.
pub(super) enum Datagram {
    /// A complete answer.
    Answer(Box<Message>),
    /// One that did not fit.
    Truncated,
}

/// A query with an id of its own.
struct Sent {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

impl Sent {
    fn new(dns: &Dns) -> Result<Self, Failure> {
        // Its id is random.
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        let query = Query::query(dns.name.clone(), dns.record_type);
        message.add_query(query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        let bytes = message.to_vec().map_err(|error| {
            let text = format!("{} cannot be asked for: {}", dns.shown(), net::brief(error));
            Failure::new(Reason::Other, text)
        })?;
        Ok(Self { id: message.metadata.id, query, bytes })
    }

    /// Whether `bytes` start as an answer to this query does.
    fn heads(&self, bytes: &[u8]) -> bool {
        let response = bytes.get(2).is_some_and(|flags| flags & 0x80 != 0);
        response && bytes.starts_with(&self.id.to_be_bytes())
    }

    /// Whether `message` answers this query; one that was not understood may come back without.
    fn is_answered_by(&self, message: &Message) -> bool {
        let metadata = &message.metadata;
        metadata.id == self.id
            && metadata.message_type == MessageType::Response
            && match message.queries.as_slice() {
                [] => metadata.response_code != ResponseCode::NoError,
                [query] => *query == self.query,
                _ => false,
            }
    }
}

/// Whether the answer that starts with these bytes says that it did not fit.
fn is_truncated(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// Asks `server` by a datagram; also returns the address that answered.
pub(super) async fn over_udp(
    cx: &Context,
    server: &Endpoint,
    dns: &Dns,
) -> Result<(Datagram, SocketAddr), Failure> {
    let sent = Sent::new(dns)?;
    let addresses = net::addresses(cx, server).await?;
    let failed = |error: io::Error| net::failure(format_args!("asking {server} over UDP"), &error);
    let (socket, peer) = open(&addresses).await.map_err(failed)?;
    net::note_peer(cx, peer);
    cx.phase(Phase::Request, async {
        socket.send(&sent.bytes).await.map_err(failed)?;
        // One byte more, to tell a datagram that is longer.
        let mut buffer = vec![0; MOST + 1];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(failed)?;
            if let Some(datagram) = receive(&buffer[..length], &sent, server)? {
                return Ok((datagram, peer));
            }
        }
    })
    .await
}

/// What a datagram means to the query that was sent, if anything.
///
/// The kernel passes only datagrams from the server's address. Whoever forges that does not know
/// the id: what answers another query is passed over, and the true answer waited for.
fn receive(bytes: &[u8], sent: &Sent, server: &Endpoint) -> Result<Option<Datagram>, Failure> {
    if sent.heads(bytes) && bytes.len() >= HEADER {
        if is_truncated(bytes) {
            return Ok(Some(Datagram::Truncated));
        }
        if bytes.len() > MOST {
            let text = format!("{server} answers with a datagram of more than {MOST} bytes");
            return Err(Failure::new(Reason::TooLarge, text));
        }
    }
    let message = read(bytes, server)?;
    Ok(sent.is_answered_by(&message).then_some(Datagram::Answer(message)))
}

/// A socket for the first of `addresses` that this host has a route to.
async fn open(addresses: &[SocketAddr]) -> io::Result<(UdpSocket, SocketAddr)> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let any = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = async {
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
            socket.connect(address).await?;
            Ok(socket)
        };
        match socket.await {
            Ok(socket) => return Ok((socket, *address)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Asks `server` over a connection.
pub(super) async fn over_tcp(
    cx: &Context,
    server: &Endpoint,
    dns: &Dns,
) -> Result<Box<Message>, Failure> {
    let sent = Sent::new(dns)?;
    let mut stream = net::connect(cx, server).await?;
    let (mut bytes, rest) = cx.phase(Phase::Request, begin(&mut stream, &sent, server)).await?;
    cx.phase(Phase::Transfer, async {
        let start = bytes.len();
        bytes.resize(start + rest, 0);
        stream.read_exact(&mut bytes[start..]).await
    })
    .await
    .map_err(|error| net::failure(format_args!("reading from {server}"), &error))?;
    let message = read(&bytes, server)?;
    if sent.is_answered_by(&message) {
        return Ok(message);
    }
    let text = format!("{server} answers a question that it was not asked");
    Err(Failure::new(Reason::Protocol, text))
}

/// Sends the query and reads the header of the answer, and how much is to follow: at most
/// 64 KiB, by the form of the protocol.
async fn begin(
    stream: &mut TcpStream,
    sent: &Sent,
    server: &Endpoint,
) -> Result<(Vec<u8>, usize), Failure> {
    let exchanged = async {
        let length = u16::try_from(sent.bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &sent.bytes].concat()).await?;
        let length = usize::from(stream.read_u16().await?);
        let mut header = vec![0; HEADER];
        stream.read_exact(&mut header).await?;
        Ok((header, length))
    };
    let (header, length) = exchanged
        .await
        .map_err(|error| net::failure(format_args!("asking {server} over TCP"), &error))?;
    // What is something else is told at once, not after as many bytes as it happens to say.
    match length.checked_sub(HEADER).filter(|_| sent.heads(&header)) {
        Some(rest) => Ok((header, rest)),
        None => Err(no_dns(server, "it starts otherwise")),
    }
}

fn read(bytes: &[u8], server: &Endpoint) -> Result<Box<Message>, Failure> {
    Message::from_vec(bytes).map(Box::new).map_err(|error| no_dns(server, error))
}

fn no_dns(server: &Endpoint, what: impl std::fmt::Display) -> Failure {
    let text = format!("{server} answers what is no DNS message: {}", net::brief(what));
    Failure::new(Reason::Protocol, text)
}
