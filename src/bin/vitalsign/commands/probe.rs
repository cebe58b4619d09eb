//! `vitalsign probe`: a GET whose exit code says whether the answer was 2xx, for images without curl.
//!
//! It asks a URL, or without one `/health` of the listener that the configuration describes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::client::{ConnectArgs, Target, block_on, duration, own_root, web_url};
use crate::exit::{CONFIGURATION, FAILED, OK, fail};
use crate::reload::Source;

/// The arguments of `vitalsign probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// An http or https URL; default: /health of the configured listener
    #[arg(value_name = "URL", value_parser = web_url)]
    url: Option<Url>,
    /// Longest time to wait for the whole answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `vitalsign probe`; the configuration is read only without a URL.
pub(crate) fn probe(args: &ProbeArgs, config: Option<PathBuf>, listen: Option<SocketAddr>) -> u8 {
    let asked = target(args, || Source::new(config, listen)).and_then(|target| {
        target.check()?;
        block_on(async move { target.get(&target.url).await })
    });
    match asked {
        Ok(Ok(answer)) if answer.status.is_success() => OK,
        Ok(Ok(answer)) => fail(FAILED, &format!("answered {}", answer.status)),
        Ok(Err(error)) => fail(FAILED, &error),
        Err(code) => code,
    }
}

/// What is asked.
fn target(args: &ProbeArgs, source: impl FnOnce() -> Source) -> Result<Target<'_>, u8> {
    let (own, url) = if let Some(url) = &args.url {
        (false, url.clone())
    } else {
        let loaded = source().load().map_err(|error| fail(CONFIGURATION, &error.to_string()))?;
        let url = own_root(&loaded).and_then(|root| root.join("health").ok());
        (true, url.ok_or_else(|| fail(CONFIGURATION, "the listener has no URL"))?)
    };
    Ok(Target { connect: &args.connect, url, own, token: None, timeout: args.timeout })
}
