//! Sends a query to a name server and receives the answer, over UDP or TCP.
//!
//! # EDNS
//! The first query has EDNS, so that long answers fit into a datagram. Older servers answer FORMERR
//! or NOTIMP, or not at all. Then the query is sent again without EDNS: at once after such an
//! answer, otherwise after a third of the remaining time.
//!
//! # Which datagrams count
//! A datagram counts only if it has the id and the question of a query of this run. Others are
//! ignored, and the run waits for the answer. Only if no answer comes does the message say that
//! another datagram came.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{Edns as Extension, Message, MessageType, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::Dns;
use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};
use crate::net::{self, Endpoint};

/// Size of datagrams that we announce: it fits into any network without fragments, as agreed on DNS
/// Flag Day 2020.
const PAYLOAD: u16 = 1232;

/// Longest datagram that is read; servers should not send more than the announced size.
const MOST: usize = 4096;

/// RFC 1035, section 4.1.1.
const HEADER: usize = 12;

/// Result over UDP.
pub(super) enum Datagram {
    /// A complete answer.
    Answer(Box<Message>),
    /// A truncated answer, to a query with EDNS or without.
    Truncated(Edns),
}

/// Whether a query has EDNS (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edns {
    With,
    Without,
}

/// A query with a random id.
struct Sent {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
    edns: Edns,
}

impl Sent {
    fn new(dns: &Dns, edns: Edns) -> Result<Self, Failure> {
        // Its id is random.
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        let query = Query::query(dns.name.clone(), dns.record_type);
        message.add_query(query.clone());
        if edns == Edns::With {
            let mut extension = Extension::new();
            extension.set_max_payload(PAYLOAD);
            message.set_edns(extension);
        }
        let bytes = message.to_vec().map_err(|error| {
            let text = format!("{} cannot be asked for: {}", dns.shown(), net::brief(error));
            Failure::new(Reason::Other, text)
        })?;
        Ok(Self { id: message.metadata.id, query, bytes, edns })
    }

    /// Whether `bytes` start as an answer to this query does.
    fn heads(&self, bytes: &[u8]) -> bool {
        let response = bytes.get(2).is_some_and(|flags| flags & 0x80 != 0);
        response && bytes.len() >= HEADER && bytes.starts_with(&self.id.to_be_bytes())
    }

    /// Whether the answer that starts with `bytes` refuses the query for its EDNS.
    fn is_refused_by(&self, bytes: &[u8]) -> bool {
        let code = bytes.get(3).map_or(0, |flags| u16::from(flags & 0x0f));
        let refusals = [ResponseCode::FormErr, ResponseCode::NotImp].map(u16::from);
        self.edns == Edns::With && self.heads(bytes) && refusals.contains(&code)
    }

    /// Whether `message` answers this query; the answer to a query that the server did not
    /// understand may have no question.
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

/// The queries of one exchange: the first, and one without EDNS once that was needed.
struct Queries<'a> {
    dns: &'a Dns,
    sent: Vec<Sent>,
}

impl<'a> Queries<'a> {
    fn new(dns: &'a Dns, edns: Edns) -> Result<Self, Failure> {
        Ok(Self { dns, sent: vec![Sent::new(dns, edns)?] })
    }

    /// The bytes of the query to send next.
    fn last(&self) -> &[u8] {
        self.sent.last().map_or(&[], |sent| &sent.bytes)
    }

    /// Adds the query without EDNS, if it was not added yet.
    fn step_back(&mut self) -> Result<bool, Failure> {
        let more = self.may_step_back();
        if more {
            self.sent.push(Sent::new(self.dns, Edns::Without)?);
        }
        Ok(more)
    }

    fn may_step_back(&self) -> bool {
        self.sent.iter().all(|sent| sent.edns == Edns::With)
    }

    /// The query that `bytes` start an answer to.
    fn headed_by(&self, bytes: &[u8]) -> Option<&Sent> {
        self.sent.iter().find(|sent| sent.heads(bytes))
    }
}

/// Whether the answer that starts with these bytes is truncated.
fn is_truncated(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// Queries `server` over UDP; also returns the address that answered.
pub(super) async fn over_udp(
    cx: &Context,
    server: &Endpoint,
    dns: &Dns,
) -> Result<(Datagram, SocketAddr), Failure> {
    let mut queries = Queries::new(dns, Edns::With)?;
    let addresses = net::addresses(cx, server).await?;
    let failed = |error: io::Error| net::failure(format_args!("asking {server} over UDP"), &error);
    let (socket, peer) = open(&addresses).await.map_err(failed)?;
    net::note_peer(cx, peer);
    cx.phase(Phase::Request, async {
        socket.send(queries.last()).await.map_err(failed)?;
        let (silent, over) = (Instant::now() + cx.remaining() / 3, deadline(cx));
        let mut strange = None;
        // One byte more, to detect a longer datagram.
        let mut buffer = vec![0; MOST + 1];
        loop {
            let until = if queries.may_step_back() { silent } else { over };
            let length = match timeout_at(until, socket.recv(&mut buffer)).await {
                Ok(received) => received.map_err(failed)?,
                Err(_) if queries.step_back()? => {
                    socket.send(queries.last()).await.map_err(failed)?;
                    continue;
                }
                Err(_) => match strange.take() {
                    Some(failure) => return Err(failure),
                    None => std::future::pending().await,
                },
            };
            match receive(&buffer[..length], &queries, server)? {
                Received::Datagram(datagram) => return Ok((datagram, peer)),
                Received::Refusal => {
                    if queries.step_back()? {
                        socket.send(queries.last()).await.map_err(failed)?;
                    }
                }
                Received::Strange(failure) => strange = Some(failure),
                Received::Other => {}
            }
        }
    })
    .await
}

/// Shortly before the deadline of the run, so that the message can still say what came instead of
/// an answer.
fn deadline(cx: &Context) -> Instant {
    Instant::now() + cx.remaining().mul_f64(0.95)
}

/// Classification of a datagram.
enum Received {
    /// It is the answer.
    Datagram(Datagram),
    /// The server does not know EDNS.
    Refusal,
    /// It is not a DNS message.
    Strange(Failure),
    /// It answers another query.
    Other,
}

/// Classifies a datagram by the queries that were sent.
///
/// The kernel passes only datagrams from the server's address. An attacker who forges the address
/// does not know the id.
fn receive(bytes: &[u8], queries: &Queries<'_>, server: &Endpoint) -> Result<Received, Failure> {
    let Some(sent) = queries.headed_by(bytes) else {
        return Ok(read(bytes, server).map_or_else(Received::Strange, |_| Received::Other));
    };
    if sent.is_refused_by(bytes) {
        return Ok(Received::Refusal);
    }
    if is_truncated(bytes) {
        return Ok(Received::Datagram(Datagram::Truncated(sent.edns)));
    }
    if bytes.len() > MOST {
        let text = format!("{server} answers with a datagram of more than {MOST} bytes");
        return Err(Failure::new(Reason::TooLarge, text));
    }
    let message = read(bytes, server)?;
    if sent.is_answered_by(&message) {
        return Ok(Received::Datagram(Datagram::Answer(message)));
    }
    Ok(Received::Other)
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

/// Queries `server` over TCP, and over a second connection if it does not know EDNS.
pub(super) async fn over_tcp(
    cx: &Context,
    server: &Endpoint,
    dns: &Dns,
    edns: Edns,
) -> Result<Box<Message>, Failure> {
    let answer = match ask_over_tcp(cx, server, Queries::new(dns, edns)?).await? {
        Some(answer) => Some(answer),
        None => ask_over_tcp(cx, server, Queries::new(dns, Edns::Without)?).await?,
    };
    answer.ok_or_else(|| {
        let text = format!("{server} answers a question that it was not asked");
        Failure::new(Reason::Protocol, text)
    })
}

/// The answer to `queries` over one connection; none where the server refuses EDNS.
async fn ask_over_tcp(
    cx: &Context,
    server: &Endpoint,
    mut queries: Queries<'_>,
) -> Result<Option<Box<Message>>, Failure> {
    let mut stream = net::connect(cx, server).await?;
    let begin = begin(cx, &mut stream, &mut queries, server);
    let (mut bytes, rest) = cx.phase(Phase::Request, begin).await?;
    cx.phase(Phase::Transfer, async {
        let start = bytes.len();
        bytes.resize(start + rest, 0);
        stream.read_exact(&mut bytes[start..]).await
    })
    .await
    .map_err(|error| net::failure(format_args!("reading from {server}"), &error))?;
    let sent = queries.headed_by(&bytes);
    if sent.is_some_and(|sent| sent.is_refused_by(&bytes)) {
        return Ok(None);
    }
    let message = read(&bytes, server)?;
    if sent.is_some_and(|sent| sent.is_answered_by(&message)) {
        return Ok(Some(message));
    }
    let text = format!("{server} answers a question that it was not asked");
    Err(Failure::new(Reason::Protocol, text))
}

/// Sends the query and reads the header of the answer, and how much is to follow: at most
/// 64 KiB, by the form of the protocol.
async fn begin(
    cx: &Context,
    stream: &mut TcpStream,
    queries: &mut Queries<'_>,
    server: &Endpoint,
) -> Result<(Vec<u8>, usize), Failure> {
    let failed = |error| net::failure(format_args!("asking {server} over TCP"), &error);
    send(stream, queries.last()).await.map_err(failed)?;
    if queries.may_step_back() {
        let silent = Instant::now() + cx.remaining() / 3;
        if timeout_at(silent, stream.readable()).await.is_err() && queries.step_back()? {
            send(stream, queries.last()).await.map_err(failed)?;
        }
    }
    let exchanged = async {
        let length = usize::from(stream.read_u16().await?);
        let mut header = vec![0; HEADER];
        stream.read_exact(&mut header).await?;
        Ok((header, length))
    };
    let (header, length) = exchanged.await.map_err(failed)?;
    // Other protocols are reported at once, before reading as many bytes as their first bytes would
    // announce.
    match length.checked_sub(HEADER).filter(|_| queries.headed_by(&header).is_some()) {
        Some(rest) => Ok((header, rest)),
        None => Err(no_dns(server, "it starts otherwise")),
    }
}

/// Sends `query` with its length in front (RFC 1035, section 4.2.2).
async fn send(stream: &mut TcpStream, query: &[u8]) -> io::Result<()> {
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await
}

fn read(bytes: &[u8], server: &Endpoint) -> Result<Box<Message>, Failure> {
    Message::from_vec(bytes).map(Box::new).map_err(|error| no_dns(server, error))
}

fn no_dns(server: &Endpoint, what: impl std::fmt::Display) -> Failure {
    let text = format!("{server} answers what is no DNS message: {}", net::brief(what));
    Failure::new(Reason::Protocol, text)
}
