//! The `icmp` kind: sends echo requests to a host and waits for the answers.

mod echo;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use crate::config::{Count, KindOptions, OptionError};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Phase, Reason, Server};
use crate::net::{self, Host, shared};

use echo::{Echo, Refused};

static LOSS: Measurement = Measurement {
    name: "icmp_loss_ratio",
    help: "Share of the echo requests of a run that was not answered.",
};
static ROUND_TRIP: Measurement = Measurement {
    name: "icmp_round_trip_seconds",
    help: "Mean time from an echo request to its answer.",
};

/// Highest number of requests in one run: more would be a flood.
const MOST: u32 = 100;

/// Sends ICMP echo requests to a host, as `ping` does.
///
/// The next request is sent when the previous one was answered, or when its share of the timeout
/// has passed. One answer is enough; if others are missing, the run is a warning. If a name has
/// several addresses, the first one with a route is used.
///
/// The process needs the right to send echo requests: a group within `net.ipv4.ping_group_range`,
/// or `CAP_NET_RAW`. Without it the run is `unknown`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IcmpOptions {
    /// A name or an address: `"gateway"`, `"10.0.0.1"` or `"fd00::1"`.
    host: String,
    /// How many requests a run sends, at most 100. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("default" = 1, "maximum" = MOST))]
    count: Count,
}

const fn one() -> Count {
    Count(1)
}

impl KindOptions for IcmpOptions {
    const NAME: &'static str = "icmp";
    const SUMMARY: &'static str = "echo";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&LOSS, &ROUND_TRIP];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let host = host(&self.host);
        if host.is_none() {
            let text = "this is no host; write a name or an address without a port";
            errors.push(OptionError::new("host", text));
        }
        if self.count.0 > MOST {
            let text = format!("so many are a flood; write at most {MOST}");
            errors.push(OptionError::new("count", text));
        }
        match host.filter(|_| errors.is_empty()) {
            Some(host) => Ok(Arc::new(Icmp { host, count: self.count.0 })),
            None => Err(errors),
        }
    }
}

/// Reads a name or an address; one of IPv6 may have its brackets.
fn host(text: &str) -> Option<Host> {
    let brackets = || text.strip_prefix('[')?.strip_suffix(']');
    if let Ok(ip) = brackets().unwrap_or(text).parse::<IpAddr>() {
        return (brackets().is_none() || ip.is_ipv6()).then_some(Host::Ip(ip));
    }
    url::Host::parse(text).ok().map(Host::from)
}

struct Icmp {
    host: Host,
    count: u32,
}

#[async_trait]
impl Check for Icmp {
    fn kind(&self) -> &'static str {
        IcmpOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(Server { address: self.host.to_string(), port: None })
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let attributes = vec![
            KeyValue::new(semconv::SERVER_ADDRESS, shared(self.host.to_string())),
            KeyValue::new(semconv::NETWORK_PROTOCOL_NAME, "icmp"),
        ];
        cx.client("icmp echo", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Icmp {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let addresses = net::ips(cx, &self.host).await?;
        let mut echo = self.open(&addresses)?;
        cx.attribute(semconv::NETWORK_PEER_ADDRESS, echo.peer().to_string());
        cx.phase(Phase::Request, self.exchange(cx, &mut echo)).await
    }

    /// A socket to the first of `addresses` that there is a route to.
    fn open(&self, addresses: &[IpAddr]) -> Result<Echo, Failure> {
        let mut telling = None;
        for address in addresses {
            match Echo::open(*address) {
                Ok(echo) => return Ok(echo),
                Err(Refused::Forbidden) => {
                    let text = "this process may not send echo requests; its group must be in \
                                net.ipv4.ping_group_range, or it needs CAP_NET_RAW";
                    return Err(Failure::new(Reason::LocalResource, text));
                }
                Err(Refused::Failed(error)) => telling = telling.or(Some(error)),
            }
        }
        let error = telling.unwrap_or_else(|| io::ErrorKind::HostUnreachable.into());
        Err(self.failure(&error))
    }

    async fn exchange(&self, cx: &Context, echo: &mut Echo) -> Result<Detail, Failure> {
        let mut telling = None;
        // The loss until there is an answer; a cancelled run also reports it.
        cx.measure(&LOSS, 1.0);
        for left in (1..=self.count).rev() {
            // The remaining time is divided into equal shares; the last one is for the result.
            let last_hope = left == 1 && echo.answered() == 0;
            let shares = if last_hope { 1 } else { left + 1 };
            let asked = async {
                echo.send().await?;
                echo.answer().await
            };
            if let Ok(Err(error)) = timeout(cx.remaining() / shares, asked).await {
                telling = Some(error);
            }
            if echo.answered() > 0 {
                cx.measure(&LOSS, 1.0 - f64::from(echo.answered()) / f64::from(self.count));
                cx.measure(&ROUND_TRIP, echo.mean().as_secs_f64());
            }
        }
        match (self.count - echo.answered(), telling) {
            (0, _) => Ok(Detail::ok()),
            (lost, Some(error)) if lost == self.count => Err(self.failure(&error)),
            (lost, None) if lost == self.count => {
                let text = format!("{} answered none of {lost} echo requests", self.host);
                Err(Failure::new(Reason::Timeout, text))
            }
            (lost, _) => {
                let (host, count) = (&self.host, self.count);
                Ok(Detail::warning(format!("{host} left {lost} of {count} requests unanswered")))
            }
        }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        net::failure(format_args!("sending an echo request to {}", self.host), error)
    }
}

/// The mean of times that add up to `sum`.
fn mean(sum: Duration, count: u32) -> Duration {
    sum.checked_div(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_without_a_port() {
        for (text, shown) in [
            ("Gateway.Example", "gateway.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("[fd00::1]", "fd00::1"),
        ] {
            assert_eq!(host(text).map(|host| host.to_string()).as_deref(), Some(shown));
        }
        for wrong in ["", "gateway:80", "http://gateway", "[10.0.0.1]", "[::1]:80", "a b"] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
