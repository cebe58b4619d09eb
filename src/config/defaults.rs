//! The defaults of options.

use std::net::SocketAddr;
use std::time::Duration;

pub(super) const NAME: &str = env!("CARGO_PKG_NAME");
pub(super) const DRAIN_DELAY: Duration = Duration::from_secs(10);
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
pub(super) const LIVENESS_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
pub(super) const MAX_CONNECTIONS: u32 = 1024;
pub(super) const KEEP_HEALTHY_TRACES: f64 = 0.05;
pub(super) const RETENTION: Duration = Duration::from_hours(30 * 24);
pub(super) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

pub(super) const TIMEZONE: &str = "UTC";

pub(super) const INTERVAL: Duration = Duration::from_secs(10);
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const FAILURE_THRESHOLD: u32 = 3;
pub(super) const SUCCESS_THRESHOLD: u32 = 1;
