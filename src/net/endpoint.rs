//! Where a dependency listens: a host and a port.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use opentelemetry::{KeyValue, StringValue};
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::model::Server;

/// A host as configured: a literal address needs no look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// A name, in its ASCII form.
    Name(String),
    /// A literal address.
    Ip(IpAddr),
}

impl<S: Into<String>> From<url::Host<S>> for Host {
    fn from(host: url::Host<S>) -> Self {
        match host {
            url::Host::Domain(name) => Self::Name(name.into()),
            url::Host::Ipv4(ip) => Self::Ip(ip.into()),
            url::Host::Ipv6(ip) => Self::Ip(ip.into()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// A host and a port, shown as `db:5432` or `[::1]:5432`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    host: Host,
    port: u16,
}

impl Endpoint {
    /// The endpoint of `host` and `port`; `None` for port 0, on which nothing can listen.
    pub(crate) fn new(host: Host, port: u16) -> Option<Self> {
        (port != 0).then_some(Self { host, port })
    }

    /// Reads `host:port`. The host is a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// What is wrong and what would be right; never the text itself.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "write \"host:port\", such as \"db:5432\" or \"[::1]:5432\"";
        let wrong = |what: &str| format!("{what}; {RIGHT}");
        if text.contains("://") {
            return Err(wrong("this is a URL, not an address"));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong("an IPv6 address needs brackets"));
        }
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        let host = url::Host::parse(host).map_err(|_| wrong("this is no host name or address"))?;
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits);
        port.and_then(|port| Self::new(host.into(), port))
            .ok_or_else(|| wrong("the port must be a number from 1 to 65535"))
    }

    /// Reads `host:port` as [`parse`](Self::parse) does, or a host alone with `port` as its port.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[cfg(any(feature = "dns", feature = "mongodb", feature = "redis"))]
    pub(crate) fn parse_or(text: &str, port: u16) -> Result<Self, String> {
        let brackets = || text.strip_prefix('[')?.strip_suffix(']');
        let ip = text.parse().ok().or_else(|| Some(IpAddr::V6(brackets()?.parse().ok()?)));
        match ip {
            Some(ip) => Ok(Self { host: Host::Ip(ip), port }),
            None if text.contains(':') => Self::parse(text),
            None => Self::parse(&format!("{text}:{port}")),
        }
    }

    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The endpoint as the address that a check reports.
    pub(crate) fn server(&self) -> Server {
        Server { address: self.host.to_string(), port: Some(self.port) }
    }

    /// The endpoint as attributes of a CLIENT span.
    pub(crate) fn attributes(&self) -> [KeyValue; 2] {
        [
            KeyValue::new(semconv::SERVER_ADDRESS, shared(self.host.to_string())),
            KeyValue::new(semconv::SERVER_PORT, i64::from(self.port)),
        ]
    }
}

/// A value of an attribute that spans share instead of copying the text.
pub(crate) fn shared(text: impl Into<Arc<str>>) -> StringValue {
    StringValue::from(text.into())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_of_both_families_are_read() {
        for (text, shown) in [
            ("db:5432", "db:5432"),
            ("DB.Example:1", "db.example:1"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:65535", "[::1]:65535"),
            ("bücher.example:80", "xn--bcher-kva.example:80"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        let v6 = Endpoint::parse("[::1]:80").expect("an address");
        assert_eq!(v6.server(), Server { address: "::1".into(), port: Some(80) });
    }

    #[test]
    fn a_port_that_is_left_out_is_the_protocols() {
        for (text, shown) in [
            ("db", "db:53"),
            ("db:5353", "db:5353"),
            ("10.0.0.1", "10.0.0.1:53"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            let endpoint = Endpoint::parse_or(text, 53).expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        for wrong in ["", ":53", "[10.0.0.1]", "db:", "a b", "db:0"] {
            assert!(Endpoint::parse_or(wrong, 53).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_address_says_what_would_be_right() {
        for (text, what) in [
            ("db", "the port is missing"),
            ("", "the port is missing"),
            (":80", "the host is missing"),
            ("::1:80", "an IPv6 address needs brackets"),
            ("[::1:80", "this is no host name or address"),
            ("db:0", "the port must be"),
            ("db:65536", "the port must be"),
            ("db:+80", "the port must be"),
            ("db:", "the port must be"),
            ("a b:80", "this is no host name or address"),
            ("tcp://db:80", "this is a URL"),
            ("user@db:80", "this is no host name or address"),
        ] {
            let error = Endpoint::parse(text).expect_err(text);
            assert!(error.starts_with(what), "{text}: {error}");
            assert!(error.ends_with("\"db:5432\" or \"[::1]:5432\""), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_shown_reads_back(text in "\\PC{0,40}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}
