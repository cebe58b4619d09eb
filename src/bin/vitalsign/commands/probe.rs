//! `vitalsign probe`: a GET whose exit code says whether the answer was 2xx, for images without curl.
//!
//! It asks a URL, or without one `/health` of the listener that the configuration describes.
//!
//! # TLS
//!
//! A certificate is verified against the system's roots and the host of the URL, or as `--ca` and
//! `--server-name` say. The own listener without these is not verified: its certificate is for the
//! name that clients use, the connection does not leave this host, and nothing secret is sent. The
//! kubelet asks its probes in the same way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{ClientBuilder, StatusCode, redirect};
use url::{Host, Url};
use vitalsign::checks::client_config;
use vitalsign::config::{ConfigPath, Loaded, TlsOptions};

use crate::exit::{CONFIGURATION, FAILED, IO, OK, USAGE, fail};
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
    /// Take any certificate
    #[arg(long, conflicts_with_all = ["ca", "server_name"])]
    insecure: bool,
    /// PEM file of the authorities to trust, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the certificate must have, and that is asked for, instead of the URL's host
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    server_name: Option<String>,
    /// Connect to this Unix socket instead of the URL's host
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
}

/// An http or https URL.
fn web_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && names_one_host(&url) => Ok(url),
        _ => Err("not an http or https URL, such as http://127.0.0.1:8080/ready".into()),
    }
}

/// No name of a host holds a comma, which separates several.
fn names_one_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| !host.contains(','))
}

/// A host name.
fn server_name(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Ok(Host::Domain(name)) => Ok(name),
        _ => Err("not a host name, such as vitals.example".into()),
    }
}

/// A duration above zero, with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a duration above zero with its unit, such as \"2s\" or \"500ms\"".into()),
    }
}

/// `vitalsign probe`; the configuration is read only without a URL.
pub(crate) fn probe(args: &ProbeArgs, config: Option<PathBuf>, listen: Option<SocketAddr>) -> u8 {
    let (url, verified) = match target(args, || Source::new(config, listen)) {
        Ok(target) => target,
        Err(code) => return code,
    };
    if url.scheme() == "http" && (args.insecure || args.ca.is_some() || args.server_name.is_some())
    {
        return fail(USAGE, "--insecure, --ca and --server-name are for an https URL");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(IO, &format!("cannot start a runtime: {error}")),
    };
    let asking = async { tokio::time::timeout(args.timeout, get(args, url, verified)).await };
    let result = runtime.block_on(asking);
    // A name look-up may still block a thread of the runtime.
    runtime.shutdown_background();
    match result {
        Ok(Ok(status)) if status.is_success() => OK,
        Ok(Ok(status)) => fail(FAILED, &format!("answered {status}")),
        Ok(Err(error)) => fail(FAILED, &error),
        Err(_) => {
            let limit = humantime::format_duration(args.timeout);
            fail(FAILED, &format!("no answer within {limit}"))
        }
    }
}

/// What is asked, and whether its certificate is verified.
fn target(args: &ProbeArgs, source: impl FnOnce() -> Source) -> Result<(Url, bool), u8> {
    let verified = !args.insecure;
    if let Some(url) = &args.url {
        return Ok((url.clone(), verified));
    }
    let loaded = source().load().map_err(|error| fail(CONFIGURATION, &error.to_string()))?;
    let url = own_health(&loaded).ok_or_else(|| fail(CONFIGURATION, "the listener has no URL"))?;
    Ok((url, verified && (args.ca.is_some() || args.server_name.is_some())))
}

/// `/health` of the listener that the configuration describes.
fn own_health(loaded: &Loaded) -> Option<Url> {
    let server = &loaded.settings.server;
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let ip = match server.listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let address = SocketAddr::new(ip, server.listen.port());
    Url::parse(&format!("{scheme}://{address}/health")).ok()
}

/// The status of one GET, straight to the host: no proxy, no redirect.
async fn get(args: &ProbeArgs, mut url: Url, verified: bool) -> Result<StatusCode, String> {
    let mut client = ClientBuilder::new().no_proxy().redirect(redirect::Policy::none());
    if url.scheme() == "https" {
        let ca = args.ca.clone().map(ConfigPath);
        let tls = TlsOptions { ca, insecure: !verified, ..TlsOptions::default() };
        // As checks verify: a self-signed certificate is trusted as it is.
        let tls = client_config(&tls)
            .map_err(|wrong| wrong.first().map_or_else(String::new, |e| e.message.clone()))?;
        client = client.tls_backend_preconfigured(tls);
    }
    if let Some(path) = &args.unix {
        client = client.unix_socket(path.clone());
    }
    if let Some(name) = &args.server_name {
        if args.unix.is_none() {
            let addresses = addresses(&url).await?;
            client = client.resolve_to_addrs(name, &addresses);
        }
        url.set_host(Some(name)).map_err(|e| format!("--server-name: {e}"))?;
    }
    let client = client.build().map_err(|e| root_cause(&e))?;
    let answer = client.get(url).send().await.map_err(|e| root_cause(&e))?;
    Ok(answer.status())
}

/// Where the host of `url` is.
async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(vec![SocketAddr::new(ip.into(), port)]),
        Some(Host::Ipv6(ip)) => Ok(vec![SocketAddr::new(ip.into(), port)]),
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await;
            found.map(Iterator::collect).map_err(|error| error.to_string())
        }
        None => Err("the URL has no host".into()),
    }
}

/// The innermost cause alone: the outer ones repeat the URL, which may hold a password.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
