//! The `tls` kind: does a TLS handshake and checks when the certificates expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use crate::config::{KindOptions, OptionError, Period, Tls as TlsOption};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Reason, Server};
use crate::net::{self, Chain, Endpoint, NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

const DAY: i64 = 24 * 60 * 60;

/// Does a TLS handshake and checks how long the certificates are still valid.
///
/// The run fails if a certificate has expired or is not yet valid, was not issued by a trusted
/// authority, or is for another name.
///
/// Do not use it for ports of MySQL and MariaDB: they start TLS in their own way, and refuse a host
/// after `max_connect_errors` failed handshakes. Use the kind `mysql`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsOptions {
    /// Where to connect: `"db:5432"`, `"127.0.0.1:443"` or `"[::1]:443"`.
    address: String,
    /// Warn when the first certificate of the chain to expire has less time left than this.
    /// Default: a third of the lifetime of the server's own certificate, at most `"14d"`.
    warn_before: Option<Period>,
    /// Oldest version of TLS that the peer may choose: `"1.2"` or `"1.3"`. Default `"1.2"`.
    #[serde(default)]
    min_version: Version,
    /// Options of the verification. With `insecure` any authority and name are accepted, but an
    /// expired certificate still fails the run.
    tls: Option<TlsOption>,
}

/// A version of TLS that is still in use.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "TlsVersion")]
enum Version {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

impl KindOptions for TlsOptions {
    const NAME: &'static str = "tls";
    const SUMMARY: &'static str = "handshake; time left on the chain";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let endpoint = Endpoint::parse(&self.address)
            .map_err(|error| errors.push(OptionError::new("address", error)));
        let client = match self.tls {
            Some(TlsOption(None)) => {
                let text = "TLS is what this kind asks for; leave the option out or write a table";
                Err(vec![OptionError::new("tls", text)])
            }
            Some(TlsOption(Some(options))) => TlsClient::new(&options, &[]),
            None => TlsClient::new(&crate::config::TlsOptions::default(), &[]),
        };
        let client = client.map_err(|wrong| errors.extend(wrong));
        let (Ok(endpoint), Ok(client)) = (endpoint, client) else {
            return Err(errors);
        };
        let Self { warn_before, min_version, .. } = self;
        let warn_before = warn_before.map(|period| period.0);
        let client = client.warning_before(warn_before);
        Ok(Arc::new(Tls { endpoint, client, warn_before, min_version }))
    }
}

struct Tls {
    endpoint: Endpoint,
    client: TlsClient,
    warn_before: Option<Duration>,
    min_version: Version,
}

#[async_trait]
impl Check for Tls {
    fn kind(&self) -> &'static str {
        TlsOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let transport = KeyValue::new(semconv::NETWORK_TRANSPORT, "tcp");
        let protocol = KeyValue::new(semconv::TLS_PROTOCOL_NAME, "tls");
        let attributes = vec![address, port, transport, protocol];
        cx.client("tls handshake", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Tls {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::connect(cx, &self.endpoint).await?;
        let mut stream = net::handshake(cx, &self.client, &self.endpoint, stream).await?;
        let (version, chain) = (stream.version(), stream.certificates());
        // With a proper close the peer does not log an attack. It does not matter if that fails.
        let _ = stream.shutdown().await;
        if self.min_version == Version::V13 && version != Some("1.3") {
            let version = version.unwrap_or("an unknown version");
            let text = format!("{} speaks TLS {version}, older than `min_version`", self.endpoint);
            return Err(Failure::new(Reason::TlsFailed, text).answered());
        }
        let chain = chain.ok_or_else(|| {
            let text = format!("{} shows a certificate that cannot be read", self.endpoint);
            Failure::new(Reason::TlsFailed, text)
        })?;
        self.judge(chain, now())
    }

    /// What the times of `chain` mean at the time `now`. What matters to trust was verified; left
    /// are the peer's own certificate where nothing is, and others that it shows needlessly.
    fn judge(&self, chain: Chain, now: i64) -> Result<Detail, Failure> {
        let expired = |what: &str, time: i64| {
            let text = format!("the certificate of {} {what} {}", self.endpoint, on(time));
            Failure::new(Reason::TlsExpired, text).answered()
        };
        if chain.not_after < now {
            return Err(expired("has expired", chain.not_after));
        }
        if chain.not_before > now {
            return Err(expired("is not valid before", chain.not_before));
        }
        let left = chain.earliest.saturating_sub(now);
        let warn_before = self.warn_before.unwrap_or_else(|| chain.warn_before());
        if left >= i64::try_from(warn_before.as_secs()).unwrap_or(i64::MAX) {
            return Ok(Detail::ok());
        }
        let (which, end) = if chain.earliest < chain.not_after {
            ("a certificate in the chain of", chain.earliest)
        } else {
            ("the certificate of", chain.not_after)
        };
        let text = format!("{which} {} {} ({})", self.endpoint, expires(left), on(end));
        Ok(Detail::warning(text))
    }
}

fn expires(left: i64) -> String {
    match left {
        ..0 => "has expired".into(),
        0..DAY => "expires in less than a day".into(),
        _ if left < 2 * DAY => "expires in 1 day".into(),
        _ => format!("expires in {} days", left / DAY),
    }
}

fn on(time: i64) -> String {
    net::date(time).unwrap_or_else(|| format!("{time} s of Unix time"))
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
