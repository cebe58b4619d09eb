//! Echo requests and their answers over one socket.
//!
//! # Sockets
//! A datagram socket needs no privilege if the system's administrator allows it for the group of
//! this process (icmp(7)). The kernel then passes each socket only its own answers. Otherwise a raw
//! socket is used, which receives every ICMP message of the peer. Both use the echo messages of RFC
//! 792 and RFC 4443.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::mean;

/// Header and token.
const LENGTH: usize = 16;

/// Longest header of IPv4, plus the part of the message that is read.
const LOOKED_AT: usize = 60 + LENGTH;

/// Why a socket could not be opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// This process lacks the right to open one.
    Forbidden,
    /// There is no route, or something else failed.
    Failed(io::Error),
}

/// A socket to one peer, and what was sent over it.
pub(super) struct Echo {
    socket: UdpSocket,
    peer: IpAddr,
    raw: bool,
    /// A random number that each request carries and its answer repeats.
    token: u64,
    /// When each request was sent; `None` after its answer.
    sent: Vec<Option<Instant>>,
    answered: u32,
    sum: Duration,
}

impl Echo {
    /// Opens a socket to `peer`.
    pub(super) fn open(peer: IpAddr) -> Result<Self, Refused> {
        let (family, protocol) = match peer {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let open = |kind| socket_with(family, kind, flags, Some(protocol));
        let forbidden = |error| matches!(error, Errno::ACCESS | Errno::PERM);
        let (socket, raw) = match open(SocketType::DGRAM) {
            Ok(socket) => (socket, false),
            Err(error) if !forbidden(error) => return Err(Refused::Failed(error.into())),
            Err(_) => match open(SocketType::RAW) {
                Ok(socket) => (socket, true),
                Err(error) if forbidden(error) => return Err(Refused::Forbidden),
                Err(error) => return Err(Refused::Failed(error.into())),
            },
        };
        connect(&socket, &SocketAddr::new(peer, 0)).map_err(|error| match error {
            // The kernel reports prohibit and blackhole routes with these errors.
            Errno::ACCESS | Errno::INVAL => Refused::Failed(Errno::HOSTUNREACH.into()),
            error => Refused::Failed(error.into()),
        })?;
        let socket = UdpSocket::from_std(StdSocket::from(socket)).map_err(Refused::Failed)?;
        let token = RandomState::new().build_hasher().finish();
        let (sent, sum) = (Vec::new(), Duration::ZERO);
        Ok(Self { socket, peer, raw, token, sent, answered: 0, sum })
    }

    pub(super) const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// How many requests were answered.
    pub(super) const fn answered(&self) -> u32 {
        self.answered
    }

    /// Mean time that answers took.
    pub(super) fn mean(&self) -> Duration {
        mean(self.sum, self.answered)
    }

    /// Sends the next request.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        let sequence = u16::try_from(self.sent.len()).unwrap_or(u16::MAX);
        self.sent.push(Some(Instant::now()));
        self.socket.send(&request(self.peer, self.token, sequence)).await.map(drop)
    }

    /// Waits for the answer to the last request. A late answer to an earlier one counts too.
    pub(super) async fn answer(&mut self) -> io::Result<()> {
        loop {
            let mut buffer = [0; LOOKED_AT];
            let length = self.socket.recv(&mut buffer).await?;
            let message = &buffer[..length];
            let message = if self.raw && self.peer.is_ipv4() { payload(message) } else { message };
            let Some(sequence) = answered(self.peer, self.token, message) else { continue };
            let Some(sent) = self.sent.get_mut(usize::from(sequence)).and_then(Option::take) else {
                continue;
            };
            self.sum += sent.elapsed();
            self.answered += 1;
            if usize::from(sequence) + 1 == self.sent.len() {
                return Ok(());
            }
        }
    }
}

/// What follows the header of an IPv4 packet.
fn payload(packet: &[u8]) -> &[u8] {
    let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    packet.get(header..).unwrap_or_default()
}

/// Types of an echo request and its answer.
const fn types(peer: IpAddr) -> (u8, u8) {
    match peer {
        IpAddr::V4(_) => (8, 0),
        IpAddr::V6(_) => (128, 129),
    }
}

fn request(peer: IpAddr, token: u64, sequence: u16) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[0] = types(peer).0;
    let token = token.to_be_bytes();
    // The kernel sets the identifier of a datagram socket; a raw one takes any.
    message[4..6].copy_from_slice(&token[..2]);
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message[8..].copy_from_slice(&token);
    if peer.is_ipv4() {
        let checksum = checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// The sequence number of the request of ours that `message` answers, if it does.
fn answered(peer: IpAddr, token: u64, message: &[u8]) -> Option<u16> {
    let (kind, rest) = message.split_first()?;
    let ours = *kind == types(peer).1 && rest.get(7..15)? == token.to_be_bytes();
    ours.then_some(u16::from_be_bytes([*message.get(6)?, *message.get(7)?]))
}

/// The checksum of RFC 1071. The kernel computes that of ICMPv6.
fn checksum(message: &[u8; LENGTH]) -> u16 {
    let words =
        message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    // It is folded to 16 bits.
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn an_answer_is_one_to_a_request_of_this_run() {
        for (peer, kind) in [(V4, 0), (V6, 129)] {
            let mut message = request(peer, 7, 515);
            assert_eq!(answered(peer, 7, &message), None, "our own request");
            message[0] = kind;
            assert_eq!(answered(peer, 7, &message), Some(515));
            assert_eq!(answered(peer, 8, &message), None, "another's");
            assert_eq!(answered(peer, 7, &message[..15]), None);
        }
    }

    #[test]
    fn a_message_with_its_checksum_sums_up_to_nothing() {
        assert_eq!(checksum(&request(V4, u64::MAX, u16::MAX)), 0);
        assert_eq!(checksum(&request(V4, 0x0102_0304_0506_0708, 9)), 0);
        assert_eq!(request(V6, 1, 1)[2..4], [0, 0]);
    }

    #[test]
    fn the_header_of_a_packet_is_skipped() {
        let packet = [&[0x46_u8; 24][..], b"message"].concat();
        assert_eq!(payload(&packet), b"message");
        assert_eq!(payload(&[0x4f; 20]), b"");
        assert_eq!(payload(&[]), b"");
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let _ = answered(V4, 1, payload(&bytes));
            let _ = answered(V6, 1, &bytes);
        }
    }
}
