//! The settings of a loaded configuration without its checks, with every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::Listen;
use super::choices::{LogFormat, LogLevel, TracesProtocol};
use super::defaults::{
    DRAIN_DELAY, HEADER_TIMEOUT, IDLE_TIMEOUT, KEEP_HEALTHY_TRACES, LISTEN, LIVENESS_TIMEOUT,
    MAX_CONNECTIONS, NAME, RETENTION, SHUTDOWN_TIMEOUT,
};
use super::sections::{
    AlertmanagerSection, HistorySection, ServerSection, ServiceSection, TelemetrySection,
};
use super::values::{Period, Secret, ServerTls};
use crate::engine::Window;
use crate::model::Details;

/// Every section but the checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// `[service]`
    pub service: Service,
    /// `[server]`
    pub server: Server,
    /// `[history]`
    pub history: History,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[[maintenance]]`, in the file's order.
    pub maintenance: Vec<Window>,
    /// `[alertmanager]`, if there is one.
    pub alertmanager: Option<Alertmanager>,
}

impl Settings {
    /// The names of the options that differ in `new` and that a running service cannot apply: all
    /// except `server.details`, `server.token`, `server.metrics_token` and those of `maintenance`.
    #[must_use]
    pub fn needing_restart(&self, new: &Self) -> Vec<&'static str> {
        let Self { service, server, history, telemetry, maintenance: _, alertmanager } = self;
        // Destructured, so that a new option cannot be forgotten here.
        let Service { name, version, environment, instance } = &new.service;
        let Server {
            listen,
            details: _,
            token: _,
            metrics_token: _,
            drain_delay,
            shutdown_timeout,
            liveness_timeout,
            header_timeout,
            idle_timeout,
            max_connections,
            tls,
            tls_content,
        } = &new.server;
        let History { place, retention } = &new.history;
        let Telemetry {
            log_level,
            log_format,
            traces_endpoint,
            traces_protocol,
            keep_healthy_traces,
            trace_url,
        } = &new.telemetry;
        let same_tls = (&server.tls, server.tls_content) == (tls, *tls_content);
        let same_share = telemetry.keep_healthy_traces.to_bits() == keep_healthy_traces.to_bits();
        let alerts = [alertmanager, &new.alertmanager].map(Option::as_ref);
        [
            ("service.name", service.name == *name),
            ("service.version", service.version == *version),
            ("service.environment", service.environment == *environment),
            ("service.instance", service.instance == *instance),
            ("server.listen", server.listen == *listen),
            ("server.drain_delay", server.drain_delay == *drain_delay),
            ("server.shutdown_timeout", server.shutdown_timeout == *shutdown_timeout),
            ("server.liveness_timeout", server.liveness_timeout == *liveness_timeout),
            ("server.header_timeout", server.header_timeout == *header_timeout),
            ("server.idle_timeout", server.idle_timeout == *idle_timeout),
            ("server.max_connections", server.max_connections == *max_connections),
            ("server.tls", same_tls),
            ("history.url", history.place == *place),
            ("history.retention", history.retention == *retention),
            ("telemetry.log_level", telemetry.log_level == *log_level),
            ("telemetry.log_format", telemetry.log_format == *log_format),
            ("telemetry.traces_endpoint", telemetry.traces_endpoint == *traces_endpoint),
            ("telemetry.traces_protocol", telemetry.traces_protocol == *traces_protocol),
            ("telemetry.keep_healthy_traces", same_share),
            ("telemetry.trace_url", telemetry.trace_url == *trace_url),
            ("alertmanager.urls", same(alerts, |to| Some(&to.urls))),
            ("alertmanager.token", same(alerts, |to| to.token.as_ref())),
            (
                "alertmanager.headers",
                same(alerts, |to| Some(&to.headers).filter(|headers| !headers.is_empty())),
            ),
        ]
        .into_iter()
        .filter_map(|(option, same)| (!same).then_some(option))
        .collect()
    }
}

/// The observed service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its name; `OTEL_SERVICE_NAME` has been applied.
    pub name: String,
    /// Its version, or vitalsign's own.
    pub version: String,
    /// Where it is deployed.
    pub environment: Option<String>,
    /// Name of this instance among several: by default the host name.
    pub instance: String,
}

/// The HTTP server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who sees causes and measurements.
    pub details: Details,
    /// Token that gives access to details.
    pub token: Option<Secret>,
    /// Token that `/metrics` requires.
    pub metrics_token: Option<Secret>,
    /// How long requests are still served after the signal to stop.
    pub drain_delay: Duration,
    /// Longest time from that signal to the exit.
    pub shutdown_timeout: Duration,
    /// How long the check runtime may be stalled.
    pub liveness_timeout: Duration,
    /// How long a client may take from the first byte of a request to the end of its head.
    pub header_timeout: Duration,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// Highest number of open connections.
    pub max_connections: u32,
    /// The certificate of the server; both files were read and are valid PEM.
    pub tls: Option<ServerTls>,
    /// A digest of that option and of the content of both files.
    tls_content: Option<[u8; 32]>,
}

/// Where the history is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// Where.
    pub place: HistoryPlace,
    /// For how long.
    pub retention: Duration,
}

/// A place to keep the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryPlace {
    /// None is kept.
    Off,
    /// Not configured: [`HISTORY_FILE`] in the working directory.
    Default,
    /// This SQLite file, as an absolute path; never `:memory:`.
    File(PathBuf),
    /// The PostgreSQL database at this URL.
    Postgres(Secret),
}

/// What SQLite calls a database in memory.
const MEMORY: &str = ":memory:";

/// The SQLite file of the history unless another one is configured.
pub const HISTORY_FILE: &str = "vitalsign.db";

/// Logs and traces. The standard variables (`RUST_LOG`, `OTEL_…`) are not applied yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Telemetry {
    /// Least severe level that is logged.
    pub log_level: LogLevel,
    /// Format of the log.
    pub log_format: LogFormat,
    /// Base URL of the collector; none sends nothing.
    pub traces_endpoint: Option<Secret>,
    /// How traces are sent; see [`TracesProtocol`] for the default.
    pub traces_protocol: Option<TracesProtocol>,
    /// Share of ordinary successful runs whose trace is kept, 0 to 1.
    pub keep_healthy_traces: f64,
    /// URL of a trace, with `{trace_id}` in it.
    pub trace_url: Option<String>,
}

/// Where alerts are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alertmanager {
    /// Base URL of every Alertmanager of the cluster; each gets every alert.
    pub urls: Vec<Secret>,
    /// Bearer token for each of them.
    pub token: Option<Secret>,
    /// Headers of every post.
    pub headers: BTreeMap<String, Secret>,
}

/// Where to listen: from the command line, else from the file, else the default.
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
    pub(super) fn of(
        section: ServerSection,
        flag: Option<Listen>,
        tls_content: Option<[u8; 32]>,
    ) -> Self {
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
            idle_timeout: period(section.idle_timeout, IDLE_TIMEOUT),
            max_connections: section.max_connections.map_or(MAX_CONNECTIONS, |count| count.0),
            tls: section.tls,
            tls_content,
        }
    }
}

/// Whether both have the same option, or neither has it.
fn same<T: PartialEq>(
    [old, new]: [Option<&Alertmanager>; 2],
    option: fn(&Alertmanager) -> Option<&T>,
) -> bool {
    old.and_then(option) == new.and_then(option)
}

impl Alertmanager {
    pub(super) fn of(section: AlertmanagerSection) -> Self {
        Self { urls: section.urls, token: section.token, headers: section.headers }
    }
}

impl History {
    /// Relative paths start from `folder`.
    pub(super) fn of(section: HistorySection, folder: Option<&Path>) -> Self {
        let place = match section.url {
            None => HistoryPlace::Default,
            Some(url) => match url.expose().strip_prefix("sqlite:") {
                Some(path) => {
                    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
                    let in_folder = folder.filter(|_| path != Path::new(MEMORY));
                    HistoryPlace::File(in_folder.map_or_else(|| path.to_owned(), |f| f.join(path)))
                }
                None if url.expose() == "off" => HistoryPlace::Off,
                None => HistoryPlace::Postgres(url),
            },
        };
        let retention = section.retention.map_or(RETENTION, |period| period.0);
        Self { place, retention }
    }
}

impl Telemetry {
    pub(super) fn of(section: TelemetrySection) -> Self {
        Self {
            log_level: section.log_level.unwrap_or_default(),
            log_format: section.log_format.unwrap_or_default(),
            traces_endpoint: section.traces_endpoint,
            traces_protocol: section.traces_protocol,
            keep_healthy_traces: section.keep_healthy_traces.unwrap_or(KEEP_HEALTHY_TRACES),
            trace_url: section.trace_url,
        }
    }
}
