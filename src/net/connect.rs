//! Opens a TCP connection to an endpoint.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};

use super::failure::{failure, reason_of};
use super::{Endpoint, Host, resolve};

/// Connects to `endpoint`, trying the addresses of a name one after the other, never two at once.
pub(crate) async fn connect(cx: &Context, endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    let stream = match endpoint.host() {
        Host::Ip(ip) => {
            let address = SocketAddr::new(*ip, endpoint.port());
            cx.phase(Phase::Connect, TcpStream::connect(address)).await
        }
        Host::Name(name) => {
            // A lookup needs several hundred bytes of state: boxed, so that they are freed
            // afterwards.
            let addresses = cx.phase(Phase::Resolve, Box::pin(resolve::lookup(name))).await?;
            let attempts = first_of(
                &addresses,
                || cx.remaining(),
                |ip| TcpStream::connect(SocketAddr::new(ip, endpoint.port())),
            );
            cx.phase(Phase::Connect, Box::pin(attempts)).await
        }
    };
    let stream = stream
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        .map_err(|error| failure(format_args!("connecting to {endpoint}"), &error))?;
    if let Ok(peer) = stream.peer_addr() {
        note_peer(cx, peer);
    }
    Ok(stream)
}

/// Records the address of the peer on the span.
pub(crate) fn note_peer(cx: &Context, peer: SocketAddr) {
    cx.attribute(semconv::NETWORK_PEER_ADDRESS, peer.ip().to_string());
    cx.attribute(semconv::NETWORK_PEER_PORT, i64::from(peer.port()));
}

/// The addresses of `endpoint`, at least one, for a protocol that has connections of its own.
#[cfg(feature = "dns")]
pub(crate) async fn addresses(
    cx: &Context,
    endpoint: &Endpoint,
) -> Result<Vec<SocketAddr>, Failure> {
    let found = ips(cx, endpoint.host()).await?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, endpoint.port())).collect())
}

/// The addresses of `host`, at least one.
#[cfg(any(feature = "dns", feature = "icmp"))]
pub(crate) async fn ips(cx: &Context, host: &Host) -> Result<Vec<IpAddr>, Failure> {
    match host {
        Host::Ip(ip) => Ok(vec![*ip]),
        Host::Name(name) => cx.phase(Phase::Resolve, Box::pin(resolve::lookup(name))).await,
    }
}

/// Opens `addresses` one after the other and returns the first success.
///
/// Each but the last gets an equal share of the time left, and one share is kept for what follows
/// the connection. So an address that drops packets does not use up the time of the others.
async fn first_of<T, F>(
    addresses: &[IpAddr],
    remaining: impl Fn() -> Duration,
    open: impl Fn(IpAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut reported: Option<io::Error> = None;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let attempt = if left == 1 {
            open(*address).await
        } else {
            let share = remaining() / left.saturating_add(1);
            timeout(share, open(*address)).await.unwrap_or_else(|_| Err(unanswered()))
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            // Another address would fail in the same way.
            Err(error) if is_exhausted(&error) => return Err(error),
            Err(error) => {
                if reported.as_ref().is_none_or(|t| rank(&error) > rank(t)) {
                    reported = Some(error);
                }
            }
        }
        left -= 1;
    }
    Err(reported.unwrap_or_else(unanswered))
}

fn unanswered() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in its share of the time")
}

/// Whether this side is out of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    // An address of a family that this host lacks is "not available"; the other family may work.
    error.kind() != io::ErrorKind::AddrNotAvailable && reason_of(error) == Reason::LocalResource
}

/// How informative an error is; the most informative one is reported if all attempts failed.
fn rank(error: &io::Error) -> u8 {
    match reason_of(error) {
        Reason::LocalResource => 0,
        Reason::Unreachable => 1,
        Reason::Timeout => 3,
        Reason::ConnectionRefused | Reason::ConnectionReset => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::ErrorKind;

    use tokio::time::{Instant, sleep_until};

    use super::*;

    /// Tries two addresses under a deadline of 3 s; `None` is one that never answers.
    async fn try_both(
        first: Option<ErrorKind>,
        second: Option<Result<(), ErrorKind>>,
    ) -> (io::Result<()>, Duration, usize) {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(3);
        let tried = RefCell::new(0);
        let addresses = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let attempts = first_of(
            &addresses,
            || deadline.saturating_duration_since(Instant::now()),
            |ip| {
                *tried.borrow_mut() += 1;
                let answer = if ip == addresses[0] { first.map(Err) } else { second };
                async move {
                    match answer {
                        Some(answer) => answer.map_err(io::Error::from),
                        None => std::future::pending().await,
                    }
                }
            },
        );
        let result = tokio::select! {
            result = attempts => result,
            () = sleep_until(deadline) => Err(io::Error::other("the deadline")),
        };
        (result, started.elapsed(), tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_leaves_most_of_the_time_to_the_next() {
        let (result, took, tried) = try_both(None, Some(Ok(()))).await;
        result.expect("the second answers");
        assert_eq!((took, tried), (Duration::from_secs(1), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_address_may_take_all_the_time_left() {
        let (result, took, _) = try_both(Some(ErrorKind::ConnectionRefused), None).await;
        assert_eq!(result.unwrap_err().to_string(), "the deadline");
        assert_eq!(took, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_that_says_most_is_reported() {
        use ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable, TimedOut};
        for (first, second, stated) in [
            (NetworkUnreachable, ConnectionRefused, ConnectionRefused),
            (ConnectionRefused, NetworkUnreachable, ConnectionRefused),
            (AddrNotAvailable, TimedOut, TimedOut),
        ] {
            let (result, _, tried) = try_both(Some(first), Some(Err(second))).await;
            assert_eq!((result.unwrap_err().kind(), tried), (stated, 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_resource_no_further_address_is_tried() {
        let (result, _, tried) = try_both(Some(ErrorKind::OutOfMemory), Some(Ok(()))).await;
        assert_eq!((result.unwrap_err().kind(), tried), (ErrorKind::OutOfMemory, 1));
    }
}
