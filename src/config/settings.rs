//! What a loaded configuration says beside its checks, every default filled in.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::Listen;
use super::sections::{ServerSection, ServiceSection, TelemetrySection};
use super::values::{Period, Secret};

pub use super::sections::ServerTls;

/// Every section but the checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// `[service]`
    pub service: Service,
    /// `[server]`
    pub server: Server,
    /// `[telemetry]`
    pub telemetry: Telemetry,
}

/// What is observed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its name; `OTEL_SERVICE_NAME` has been applied.
    pub name: String,
    /// Its version, or vitalsign's own.
    pub version: String,
    /// Where it is deployed.
    pub environment: Option<String>,
    /// Which of several this one is: the host name unless told otherwise.
    pub instance: String,
}

/// The HTTP server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who is told causes and figures.
    pub details: Details,
    /// Gives the right to details.
    pub token: Option<Secret>,
    /// Is asked for on `/metrics`.
    pub metrics_token: Option<Secret>,
    /// How long everything is still served after the signal to stop.
    pub drain_delay: Duration,
    /// Longest time from that signal to the exit.
    pub shutdown_timeout: Duration,
    /// How long the check runtime may stand still.
    pub liveness_timeout: Duration,
    /// How long a client may take to send its headers.
    pub header_timeout: Duration,
    /// Connections open at once.
    pub max_connections: u32,
    /// The certificate to serve with; both files were read and hold what they should.
    pub tls: Option<ServerTls>,
}

/// Logs and traces. The standard variables (`RUST_LOG`, `OTEL_…`) are not applied yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Telemetry {
    /// Least severe level that is logged.
    pub log_level: LogLevel,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Base URL of the collector; none sends nothing.
    pub traces_endpoint: Option<Secret>,
    /// How traces are sent.
    pub traces_protocol: TracesProtocol,
    /// Share of ordinary successful runs whose trace is kept, 0 to 1.
    pub keep_healthy_traces: f64,
    /// URL of a trace, with `{trace_id}` in it.
    pub trace_url: Option<String>,
}

/// Who is told causes and figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Details {
    /// Clients on this host that no proxy forwarded, and those with the token.
    #[default]
    Auto,
    /// Everyone; only on a listener that no other host can reach.
    Always,
    /// Nobody.
    Never,
}

/// Least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what must be mended.
    Error,
    /// And what may have to be.
    Warn,
    /// And each change of state.
    #[default]
    Info,
    /// And each run.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name, as a filter takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Text.
    Text,
    /// JSON, an object a line.
    Json,
}

/// How traces are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TracesProtocol {
    /// OTLP over gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP; `/v1/traces` is appended to the endpoint.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

pub(super) const NAME: &str = env!("CARGO_PKG_NAME");
pub(super) const DRAIN_DELAY: Duration = Duration::from_secs(5);
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
pub(super) const LIVENESS_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const MAX_CONNECTIONS: u32 = 1024;
pub(super) const KEEP_HEALTHY_TRACES: f64 = 0.05;
pub(super) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

pub(super) const INTERVAL: Duration = Duration::from_secs(10);
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const FAILURE_THRESHOLD: u32 = 3;
pub(super) const SUCCESS_THRESHOLD: u32 = 1;

/// Where to listen: what the command line says, else the file, else the default.
pub(super) fn listen(section: &ServerSection, flag: Option<Listen>) -> Listen {
    flag.or(section.listen).unwrap_or(Listen(LISTEN))
}

impl Service {
    pub(super) fn of(section: ServiceSection, name_from_environment: Option<String>) -> Self {
        Self {
            name: name_from_environment.or(section.name).unwrap_or_else(|| NAME.to_owned()),
            version: section.version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            environment: section.environment,
            instance: section.instance.unwrap_or_else(host_name),
        }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Server {
    pub(super) fn of(section: ServerSection, flag: Option<Listen>) -> Self {
        let period = |given: Option<Period>, default| given.map_or(default, |period| period.0);
        Self {
            listen: listen(&section, flag).0,
            details: section.details.unwrap_or_default(),
            token: section.token,
            metrics_token: section.metrics_token,
            drain_delay: period(section.drain_delay, DRAIN_DELAY),
            shutdown_timeout: period(section.shutdown_timeout, SHUTDOWN_TIMEOUT),
            liveness_timeout: period(section.liveness_timeout, LIVENESS_TIMEOUT),
            header_timeout: period(section.header_timeout, HEADER_TIMEOUT),
            max_connections: section.max_connections.map_or(MAX_CONNECTIONS, |count| count.0),
            tls: section.tls,
        }
    }
}

impl Telemetry {
    pub(super) fn of(section: TelemetrySection) -> Self {
        Self {
            log_level: section.log_level.unwrap_or_default(),
            log_format: section.log_format.unwrap_or_default(),
            traces_endpoint: section.traces_endpoint,
            traces_protocol: section.traces_protocol.unwrap_or_default(),
            keep_healthy_traces: section.keep_healthy_traces.unwrap_or(KEEP_HEALTHY_TRACES),
            trace_url: section.trace_url,
        }
    }
}
