//! The settings of telemetry, as a configuration file holds them.

use url::Url;

use crate::config::{self, LogFormat, TracesProtocol as Protocol};

/// The resource attributes of spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`.
    pub instance: String,
    /// `deployment.environment.name`.
    pub environment: Option<String>,
}

/// The settings of a configuration file, before variables replace them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The resource attributes of spans.
    pub service: Service,
    /// Base URL of the collector; without it, spans are sent nowhere.
    pub traces_endpoint: Option<Url>,
    /// How spans are sent. `None`: by gRPC to `traces_endpoint`, and by HTTP with protobuf to the
    /// endpoint of a variable.
    pub traces_protocol: Option<Protocol>,
    /// Share of traces of ordinary successful runs that is kept, from 0 to 1.
    pub keep_healthy_traces: f64,
    /// Least important level that is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// The form of log lines.
    pub log_format: LogFormat,
}

impl Settings {
    /// The defaults, for `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self {
            service,
            traces_endpoint: None,
            traces_protocol: None,
            keep_healthy_traces: 0.05,
            log_level: "info".to_owned(),
            log_format: LogFormat::default(),
        }
    }
}

impl From<&config::Settings> for Settings {
    fn from(settings: &config::Settings) -> Self {
        let config::Settings { service, telemetry, .. } = settings;
        Self {
            service: Service {
                name: service.name.clone(),
                version: service.version.clone(),
                instance: service.instance.clone(),
                environment: service.environment.clone(),
            },
            // It was validated as a URL when it was read.
            traces_endpoint: telemetry
                .traces_endpoint
                .as_ref()
                .and_then(|e| e.expose().parse().ok()),
            traces_protocol: telemetry.traces_protocol,
            keep_healthy_traces: telemetry.keep_healthy_traces,
            log_level: telemetry.log_level.as_str().to_owned(),
            log_format: telemetry.log_format,
        }
    }
}
