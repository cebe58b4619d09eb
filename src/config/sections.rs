//! The sections of a configuration other than its checks, as they are written.
//!
//! Their doc comments are the reference that users read. [`super::settings`] has the loaded values,
//! with every default filled in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::Listen;
use super::choices::{LogFormat, LogLevel, TracesProtocol};
use super::defaults::{
    DRAIN_DELAY, FAILURE_THRESHOLD, HEADER_TIMEOUT, IDLE_TIMEOUT, INTERVAL, KEEP_HEALTHY_TRACES,
    LISTEN, LIVENESS_TIMEOUT, MAX_CONNECTIONS, NAME, SHUTDOWN_TIMEOUT, SUCCESS_THRESHOLD, TIMEZONE,
};
use super::values::{Count, Period, Secret, ServerTls};
use crate::engine::Day;
use crate::model::Details;

/// The observed service: the resource attributes of traces and the head of the status document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceSection {
    /// Its name; the variable `OTEL_SERVICE_NAME` takes precedence. Default `"vitalsign"`.
    #[schemars(extend("default" = NAME))]
    pub(super) name: Option<String>,
    /// Its version. Default vitalsign's own.
    pub(super) version: Option<String>,
    /// Where it is deployed, such as `production`.
    pub(super) environment: Option<String>,
    /// Name of this instance among several. Default the host name.
    pub(super) instance: Option<String>,
}

/// The HTTP server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSection {
    /// Address and port to listen on. Default `"127.0.0.1:8080"`.
    #[schemars(extend("default" = LISTEN))]
    pub(super) listen: Option<Listen>,
    /// Who sees causes and measurements. Default `"auto"`.
    #[schemars(extend("default" = Details::default()))]
    pub(super) details: Option<Details>,
    /// Token that gives access to details: as bearer token, or, for browsers, as the password of
    /// Basic authentication. At least 4 characters.
    pub(super) token: Option<Secret>,
    /// Bearer token that `/metrics` requires: at least 4 characters. Default: it requires none.
    pub(super) metrics_token: Option<Secret>,
    /// How long requests are still served after the signal to stop, so that balancers see readiness
    /// fail before the listener closes. Shorter than `shutdown_timeout`. Default `"10s"`.
    #[schemars(extend("default" = Period(DRAIN_DELAY).to_string()))]
    pub(super) drain_delay: Option<Period>,
    /// Longest time from the signal to stop to the exit. Default `"25s"`.
    #[schemars(extend("default" = Period(SHUTDOWN_TIMEOUT).to_string()))]
    pub(super) shutdown_timeout: Option<Period>,
    /// How long the check runtime may be stalled before `/health` is 503. Default `"30s"`.
    #[schemars(extend("default" = Period(LIVENESS_TIMEOUT).to_string()))]
    pub(super) liveness_timeout: Option<Period>,
    /// How long a client may take from the first byte of a request to the end of its head. Default
    /// `"10s"`.
    #[schemars(extend("default" = Period(HEADER_TIMEOUT).to_string()))]
    pub(super) header_timeout: Option<Period>,
    /// How long a connection is kept without a request; longer than the interval of probes. Default
    /// `"1m 15s"`.
    #[schemars(extend("default" = Period(IDLE_TIMEOUT).to_string()))]
    pub(super) idle_timeout: Option<Period>,
    /// Highest number of open connections; one more closes the one that has been idle longest.
    /// Default 1024.
    #[schemars(extend("default" = MAX_CONNECTIONS))]
    pub(super) max_connections: Option<Count>,
    /// Serve HTTPS with this certificate. Default: plain HTTP.
    pub(super) tls: Option<ServerTls>,
}

/// Defaults for every check that does not set the option itself.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultsSection {
    /// Time from one due run to the next. Default `"10s"`.
    #[schemars(extend("default" = Period(INTERVAL).to_string()))]
    pub(super) interval: Option<Period>,
    /// Longest time of one run, shorter than the interval. Default 2 s or half the interval,
    /// whichever is less.
    pub(super) timeout: Option<Period>,
    /// Failed runs in a row that make a check down. Default 3.
    #[schemars(extend("default" = FAILURE_THRESHOLD))]
    pub(super) failure_threshold: Option<Count>,
    /// Good runs in a row after which a check is no longer down. Default 1.
    #[schemars(extend("default" = SUCCESS_THRESHOLD))]
    pub(super) success_threshold: Option<Count>,
}

/// Logs and traces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TelemetrySection {
    /// Least severe level that is logged; the variable `RUST_LOG` takes precedence. Default
    /// `"info"`.
    #[schemars(extend("default" = LogLevel::default()))]
    pub(super) log_level: Option<LogLevel>,
    /// Format of the log. Default `"auto"`.
    #[schemars(extend("default" = LogFormat::default()))]
    pub(super) log_format: Option<LogFormat>,
    /// Base URL of an OTLP collector, `http` or `https`; the variables `OTEL_EXPORTER_OTLP_*` take
    /// precedence. Default: no traces are sent.
    pub(super) traces_endpoint: Option<Secret>,
    /// How traces are sent. Default `"grpc"`; if the endpoint comes from a variable,
    /// `"http/protobuf"`, which is the default of OpenTelemetry.
    #[schemars(extend("default" = TracesProtocol::default()))]
    pub(super) traces_protocol: Option<TracesProtocol>,
    /// Share of the traces of ordinary successful runs that is kept, 0 to 1. Default 0.05.
    #[schemars(extend("default" = KEEP_HEALTHY_TRACES))]
    pub(super) keep_healthy_traces: Option<f64>,
    /// URL of a trace in a web interface, with `{trace_id}` in the place of the id.
    pub(super) trace_url: Option<String>,
}

/// Where status changes, incidents and roll-ups of runs are stored, so that they survive restarts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistorySection {
    /// `sqlite:` with a path, `postgres://…`, or `off`, which keeps nothing. A path is relative to
    /// the configuration file, and must be writable. Default `"sqlite:vitalsign.db"` in the working
    /// directory; if that cannot be written, the history is kept in memory.
    pub(super) url: Option<Secret>,
    /// How long it is kept. Default `"30d"`.
    #[schemars(extend("default" = "30d"))]
    pub(super) retention: Option<Period>,
}

/// Sends status changes to Alertmanager. Use it instead of Prometheus' rules; with both, people get
/// every alert twice. Without this section no alerts are sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertmanagerSection {
    /// Base URL of every Alertmanager of the cluster, `http` or `https`; each gets every alert.
    /// It may end with `/api/v2/alerts`. A user name and password in it are sent as basic
    /// authentication.
    pub(super) urls: Vec<Secret>,
    /// Bearer token for each of them. Default none.
    pub(super) token: Option<Secret>,
    /// Headers of every post, such as `X-Scope-OrgID` for a tenant.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Secret>,
}

/// Other files with checks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncludeSection {
    /// Files or patterns such as `conf.d/*.toml`, relative to this file.
    #[serde(default)]
    pub(super) files: Vec<String>,
}

/// Maintenance windows: during one, its checks gate nothing, do not change availability and raise
/// no alert. A window is either recurring, with `start` and `duration`, or single, with `from` and
/// `until`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintenanceSection {
    /// The checks that it applies to. Default all, also those that a reload adds.
    pub(super) checks: Option<Vec<String>>,
    /// Time of day at which it opens, such as `23:00`; needs `duration`.
    #[schemars(with = "Option<String>")]
    pub(super) start: Option<toml::Value>,
    /// How long a recurring window stays open, at most `"7d"`; needs `start`.
    pub(super) duration: Option<Period>,
    /// Days of the week on which it opens. Default every day.
    pub(super) every: Option<Vec<Day>>,
    /// Time zone of `start`, such as `Europe/Berlin`. Default `"UTC"`.
    #[schemars(extend("default" = TIMEZONE))]
    pub(super) timezone: Option<String>,
    /// Start of a single window, RFC 3339; needs `until`.
    #[schemars(with = "Option<String>")]
    pub(super) from: Option<toml::Value>,
    /// End of a single window, RFC 3339; needs `from`.
    #[schemars(with = "Option<String>")]
    pub(super) until: Option<toml::Value>,
}
