//! Resolves a name to addresses, like a new client on this host.
//!
//! The hosts file is read first, then the system's name servers are queried. Nothing is cached: a
//! check that used an old address would miss exactly the fault that it should find.
//!
//! Every name is asked for as it is written. RFC 952 does not allow an underscore in a host name,
//! but Compose, Windows and databases have it in theirs, and every name server answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::runtime;
use tokio::time::Instant;

use crate::engine::check::Failure;
use crate::model::Reason;

use super::failure::{brief, reason_of};
use super::hosts::Hosts;

/// Longest wait for one name server, so that a second one still fits into a run's timeout.
const SERVER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the system's files are checked for a change.
const REFRESH: Duration = Duration::from_secs(1);

/// The addresses of `name`, at least one: those of IPv6 first, then alternating.
pub(super) async fn lookup(name: &str) -> Result<Vec<IpAddr>, Failure> {
    if is_localhost(name) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let (resolver, hosts) = shared()?;
    if let Some(addresses) = hosts.get(name) {
        return Ok(alternate(addresses.iter().copied()));
    }
    ask(&resolver, name).await
}

async fn ask(resolver: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, Failure> {
    let found =
        resolver.lookup_ip(as_written(name)?).await.map_err(|error| refuse(name, &error))?;
    let addresses = alternate(found.iter());
    if addresses.is_empty() {
        return Err(Failure::new(Reason::DnsNotFound, format!("{name} has no address")));
    }
    Ok(addresses)
}

/// The name to ask for: any that DNS can carry.
pub(super) fn as_written(name: &str) -> Result<Name, Failure> {
    Name::from_str_relaxed(name).map_err(|_| {
        let text = format!("the name {name} cannot be looked up: no name server knows such names");
        Failure::new(Reason::DnsNotFound, text)
    })
}

/// Whether the name is always an address of this host (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let (_, top) = name.rsplit_once('.').unwrap_or(("", name));
    top.eq_ignore_ascii_case("localhost")
}

/// Alternates the two families (RFC 8305, section 4), so that the second address tried is of the
/// other family. IPv6 is first, as for most clients.
fn alternate(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

pub(super) fn refuse(name: &str, error: &NetError) -> Failure {
    if error.is_nx_domain() {
        return Failure::new(Reason::DnsNotFound, format!("the name {name} does not exist"));
    }
    if error.is_no_records_found() {
        return Failure::new(Reason::DnsNotFound, format!("{name} has no address"));
    }
    let reason = match error {
        NetError::Io(error) if reason_of(error) == Reason::LocalResource => Reason::LocalResource,
        _ => Reason::DnsFailed,
    };
    Failure::new(reason, format!("looking up {name} failed: {}", brief(error)))
}

/// The resolver that all checks share, and the state of the files that it was made from.
struct Shared {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    /// The runtime on which it was made: its sockets belong to that one.
    runtime: runtime::Id,
    files: [Option<SystemTime>; 2],
    seen: Instant,
}

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The shared resolver and hosts file; both are read anew when one of the system's files has
/// changed, as they do when a VPN comes up.
pub(super) fn shared() -> Result<(TokioResolver, Arc<Hosts>), Failure> {
    let runtime = runtime::Handle::current().id();
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(current) = shared.as_mut().filter(|s| s.runtime == runtime) {
        if current.seen.elapsed() < REFRESH {
            return Ok((current.resolver.clone(), Arc::clone(&current.hosts)));
        }
        current.seen = Instant::now();
        if current.files == files() {
            return Ok((current.resolver.clone(), Arc::clone(&current.hosts)));
        }
    }
    let files = files();
    let resolver = system().map_err(|error| {
        Failure::new(Reason::DnsFailed, format!("no resolver on this host: {}", brief(error)))
    })?;
    let hosts = Arc::new(Hosts::read(Path::new(FILES[1])));
    let made = Shared {
        resolver: resolver.clone(),
        hosts: Arc::clone(&hosts),
        runtime,
        files,
        seen: Instant::now(),
    };
    *shared = Some(made);
    Ok((resolver, hosts))
}

fn files() -> [Option<SystemTime>; 2] {
    FILES.map(|file| Path::new(file).metadata().and_then(|m| m.modified()).ok())
}

/// A resolver made from the system's files.
fn system() -> Result<TokioResolver, NetError> {
    let builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
        // Without a readable resolv.conf only the hosts file counts.
        let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
    });
    build(builder)
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.timeout = options.timeout.min(SERVER_TIMEOUT);
    options.cache_size = 0;
    // Ours is read instead: the resolver's leaves out names with an underscore.
    options.use_hosts_file = ResolveHosts::Never;
    // Old name servers answer FORMERR to EDNS, or nothing. Addresses fit without it.
    options.edns0 = false;
    builder.build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA};
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use tokio::net::UdpSocket;

    use super::*;

    /// A resolver whose only name server knows `orders.example` and names with underscores. It has
    /// no address of `empty.example`, fails for `broken.example`, ignores `mute.example`, and
    /// answers no query with EDNS.
    async fn resolver() -> (TokioResolver, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let mut message = Message::from_vec(&buffer[..length]).unwrap();
                if message.edns.is_some() {
                    // As an old server does; it would be asked in vain.
                    message.metadata.response_code = ResponseCode::FormErr;
                }
                message.metadata.message_type = MessageType::Response;
                let query = message.queries[0].clone();
                let name = query.name().to_lowercase();
                let data = match query.query_type() {
                    RecordType::A => RData::A(A::new(10, 0, 0, 1)),
                    _ => RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
                };
                match name.to_utf8().as_str() {
                    "orders.example." | "my_db.example." | "_my.db_." => {
                        message.answers.push(Record::from_rdata(query.name().clone(), 600, data));
                    }
                    "empty.example." => {}
                    "broken.example." => message.metadata.response_code = ResponseCode::ServFail,
                    "mute.example." => continue,
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
        let resolver = build(TokioResolver::builder_with_config(config, provider)).unwrap();
        (resolver, asked)
    }

    #[tokio::test]
    async fn a_name_has_its_addresses_of_both_families_asked_anew_each_time() {
        let (resolver, asked) = resolver().await;
        for round in 1..=2 {
            let found = ask(&resolver, "orders.example").await.expect("its addresses");
            let expected = ["fd00::1", "10.0.0.1"].map(|a| a.parse::<IpAddr>().unwrap());
            assert_eq!(found, expected);
            assert_eq!(asked.load(Ordering::Relaxed), 2 * round);
        }
    }

    #[tokio::test]
    async fn names_are_asked_for_as_they_are_written() {
        let (resolver, _) = resolver().await;
        for name in ["my_db.example", "MY_DB.example.", "_my.db_", "orders.example."] {
            let found = ask(&resolver, name).await.unwrap_or_else(|f| panic!("{}", f.message()));
            assert_eq!(found.len(), 2, "{name}");
        }
        let failure = ask(&resolver, "orders..example").await.expect_err("it has an empty label");
        assert_eq!(failure.reason(), Reason::DnsNotFound, "{}", failure.message());
    }

    #[tokio::test]
    async fn a_name_that_is_missing_is_told_from_a_server_that_fails() {
        let (resolver, _) = resolver().await;
        for (name, reason) in [
            ("nowhere.example", Reason::DnsNotFound),
            ("empty.example", Reason::DnsNotFound),
            ("broken.example", Reason::DnsFailed),
        ] {
            let failure = ask(&resolver, name).await.expect_err(name);
            assert_eq!(failure.reason(), reason, "{name}: {}", failure.message());
            assert!(failure.message().contains(name), "{}", failure.message());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mute_name_server_is_given_up_in_seconds() {
        let (resolver, _) = resolver().await;
        let started = Instant::now();
        let failure = ask(&resolver, "mute.example").await.expect_err("no answer");
        assert_eq!(failure.reason(), Reason::DnsFailed, "{}", failure.message());
        let took = started.elapsed();
        assert!(took < 4 * SERVER_TIMEOUT, "{took:?}");
    }

    #[tokio::test]
    async fn localhost_needs_no_name_server() {
        for name in ["localhost", "LOCALHOST.", "orders.localhost"] {
            let found = lookup(name).await.expect(name);
            assert_eq!(found, [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()]);
        }
        assert!(!is_localhost("localhost.example"));
        assert!(!is_localhost("notlocalhost"));
    }

    #[test]
    fn families_alternate_and_ipv6_goes_first() {
        let [a, b, c]: [IpAddr; 3] =
            ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|a| a.parse().unwrap());
        assert_eq!(alternate([a, b, c].into_iter()), [c, a, b]);
        assert_eq!(alternate([a, b].into_iter()), [a, b]);
        assert!(alternate(std::iter::empty()).is_empty());
    }

    #[tokio::test]
    async fn one_resolver_serves_a_runtime_and_another_runtime_gets_its_own() {
        shared().expect("a resolver");
        let seen = || SHARED.lock().unwrap().as_ref().map(|s| s.runtime);
        let here = seen();
        let other = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { shared().map(|_| ()) }).expect("a resolver");
        });
        other.join().unwrap();
        assert_ne!(seen(), here);
    }
}
