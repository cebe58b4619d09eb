//! The target of spans: the variables `OTEL_EXPORTER_OTLP_*` and `OTEL_TRACES_EXPORTER`.
//!
//! A variable for traces takes precedence over the one for all signals, and both over the file.

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::config::{names_several_hosts, web_url};

use super::super::{Protocol, Settings};
use super::tls::TlsMaterial;
use super::variables::{Reader, bad_pair, pairs};

/// A collector and how to talk to it.
pub(in crate::telemetry) struct Target {
    pub(in crate::telemetry) endpoint: Url,
    pub(in crate::telemetry) protocol: Protocol,
    pub(in crate::telemetry) headers: HeaderMap,
    /// Longest one attempt may take.
    pub(in crate::telemetry) timeout: Duration,
    pub(in crate::telemetry) gzip: bool,
    pub(in crate::telemetry) tls: TlsMaterial,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("endpoint", &self.endpoint.origin().ascii_serialization())
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl Reader<'_> {
    pub(in crate::telemetry) fn target(&mut self, settings: &Settings) -> Option<Target> {
        const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
        let exporter = self.get(EXPORTER);
        match exporter.as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => {
                self.unsupported(EXPORTER, other, "otlp or none");
                return None;
            }
        }
        let variable =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        if variable.is_none() && settings.traces_endpoint.is_none() && exporter.is_none() {
            return None;
        }
        let protocol = self.protocol(settings, variable.as_ref().map(|(_, value)| &**value));
        let endpoint = match (variable, &settings.traces_endpoint) {
            (Some((name, value)), _) => self.endpoint(name, &value, protocol),
            (None, Some(url)) => self.endpoint("traces_endpoint", url.as_str(), protocol),
            (None, None) => {
                let url = match protocol {
                    Protocol::Grpc => "http://localhost:4317",
                    Protocol::HttpProtobuf => "http://localhost:4318",
                };
                self.endpoint(EXPORTER, url, protocol)
            }
        };
        let timeout = self
            .first(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"])
            .and_then(|(name, value)| self.number_of(name, &value));
        let (headers, gzip) = (self.headers(), self.gzip());
        let tls = self.tls();
        Some(Target {
            endpoint: endpoint?,
            protocol,
            headers,
            timeout: Duration::from_millis(timeout.unwrap_or(10_000).into()),
            gzip,
            tls,
        })
    }

    /// The protocol that a variable or the file names. Without any, the file's endpoint is one for
    /// gRPC, and otherwise the specification's default applies, http/protobuf: only gRPC takes an
    /// endpoint without a scheme. `endpoint` is that of a variable.
    fn protocol(&mut self, settings: &Settings, endpoint: Option<&str>) -> Protocol {
        let variable =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        match variable {
            Some((_, value)) if value == "grpc" => return Protocol::Grpc,
            Some((_, value)) if value == "http/protobuf" => return Protocol::HttpProtobuf,
            Some((name, value)) => self.unsupported(name, &value, "grpc or http/protobuf"),
            None => {}
        }
        let of_file = endpoint.is_none() && settings.traces_endpoint.is_some();
        let bare = endpoint.is_some_and(|endpoint| !endpoint.contains("://"));
        let default = if of_file || bare { Protocol::Grpc } else { Protocol::HttpProtobuf };
        settings.traces_protocol.unwrap_or(default)
    }

    fn endpoint(&mut self, name: &'static str, value: &str, protocol: Protocol) -> Option<Url> {
        let insecure =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"]);
        let insecure = self.switch_of(insecure);
        let bare = protocol == Protocol::Grpc && !value.contains("://");
        let scheme = if insecure { "http" } else { "https" };
        let text = if bare { format!("{scheme}://{value}") } else { value.to_owned() };
        let mut url = match web_url(&text) {
            Ok(url) => url,
            Err(wrong) if names_several_hosts(&text) => {
                self.problem(name, wrong);
                return None;
            }
            Err(_) => {
                let message = "not an http or https URL; use one such as http://127.0.0.1:4317";
                self.problem(name, message);
                return None;
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            let message = "holds credentials; put them in OTEL_EXPORTER_OTLP_HEADERS";
            self.problem(name, message);
            return None;
        }
        match protocol {
            Protocol::Grpc if url.path() != "/" || url.query().is_some() => {
                let message = "gRPC takes no path; use the scheme, the host and the port alone";
                self.problem(name, message);
                return None;
            }
            Protocol::HttpProtobuf if name != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => {
                let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
                url.set_path(&path);
            }
            _ => {}
        }
        Some(url)
    }

    fn headers(&mut self) -> HeaderMap {
        let variable =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        let Some((name, value)) = variable else { return HeaderMap::new() };
        let mut headers = HeaderMap::new();
        let pairs = pairs(&value).unwrap_or_else(|entry| {
            self.problem(name, bad_pair(entry));
            Vec::new()
        });
        for (index, (key, value)) in pairs.into_iter().enumerate() {
            match (HeaderName::try_from(key), HeaderValue::try_from(value)) {
                (Ok(key), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.append(key, value);
                }
                _ => self.problem(name, bad_pair(index + 1)),
            }
        }
        headers
    }

    fn gzip(&mut self) -> bool {
        let variable =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]);
        match variable {
            None => false,
            Some((_, value)) if value == "none" => false,
            Some((_, value)) if value == "gzip" => true,
            Some((name, value)) => {
                self.unsupported(name, &value, "gzip or none");
                false
            }
        }
    }

    fn tls(&mut self) -> TlsMaterial {
        let ca =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]);
        let cert = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ]);
        let key =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"]);
        TlsMaterial::read(ca, cert, key, &mut self.problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_hides_its_value_even_from_libraries() {
        let env = |name: &str| {
            (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| "authorization=hunter2".to_owned())
        };
        let headers = Reader { env: &env, problems: Vec::new() }.headers();
        assert_eq!(headers["authorization"], "hunter2");
        assert!(!format!("{headers:?}").contains("hunter2"));
    }
}
