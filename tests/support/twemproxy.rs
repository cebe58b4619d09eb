//! A proxy, twemproxy, before a Redis and a memcached server.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

const PROXY: &str = "/usr/sbin/nutcracker";

/// The proxy, on a loopback port for each protocol; gone when dropped.
pub(crate) struct Twemproxy {
    // Before the directory, so that the proxy is gone when that is removed.
    _daemon: Daemon,
    pub(crate) redis: SocketAddr,
    pub(crate) memcached: SocketAddr,
    _dir: TempDir,
}

impl Twemproxy {
    /// Starts it before servers on these ports; none, with a notice, where it is not installed.
    pub(crate) async fn start(redis: u16, memcached: u16) -> Option<Self> {
        if !Path::new(PROXY).exists() {
            left_out("nutcracker");
            return None;
        }
        let (user, dir) = (User::own_self(), server_dir());
        let [for_redis, for_memcached, statistics] = [free_port(), free_port(), free_port()];
        let pool = |name, port, more, server| {
            format!(
                "{name}:\n  listen: 127.0.0.1:{port}\n{more}  servers:\n   - 127.0.0.1:{server}:1\n"
            )
        };
        let configuration = pool("redis", for_redis, "  redis: true\n", redis)
            + &pool("memcached", for_memcached, "", memcached);
        user.write(&dir.path().join("pools.yml"), &configuration);
        let mut command = user.command(PROXY);
        command.current_dir(dir.path()).args(["-c", "pools.yml", "-a", "127.0.0.1"]);
        command.args(["-s", &statistics.to_string(), "-o", "/dev/stderr"]);
        let mut daemon = Daemon::start(command, &dir.path().join("log"));
        let [redis, memcached]: [SocketAddr; 2] =
            [for_redis, for_memcached].map(|port| ([127, 0, 0, 1], port).into());
        wait_for("twemproxy to listen", async || {
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(daemon.runs(), "twemproxy does not start: {}", log());
            TcpStream::connect(redis).await.is_ok() && TcpStream::connect(memcached).await.is_ok()
        })
        .await;
        Some(Self { _daemon: daemon, redis, memcached, _dir: dir })
    }
}
