//! How the commands ask a service over HTTP: `probe`, `status`, `incidents`.
//!
//! # TLS
//!
//! A certificate is verified against the system's roots and the host of the URL, or as `--ca` and
//! `--server-name` say. The own listener without these is not verified: its certificate is for the
//! name that clients use, and the connection does not leave this host. The kubelet asks its probes in
//! the same way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{ClientBuilder, StatusCode, redirect};
use url::{Host, Url};
use vitalsign::checks::client_config;
use vitalsign::config::{ConfigPath, Loaded, TlsOptions};

use crate::exit::{IO, USAGE, fail};

/// How to connect.
#[derive(Debug, Args)]
pub(super) struct ConnectArgs {
    /// Take any certificate
    #[arg(long, conflicts_with_all = ["ca", "server_name"])]
    pub(super) insecure: bool,
    /// PEM file of the authorities to trust, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Name that the certificate must have, and that is asked for, instead of the URL's host
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub(super) server_name: Option<String>,
    /// Connect to this Unix socket instead of the URL's host
    #[arg(long, value_name = "PATH")]
    pub(super) unix: Option<PathBuf>,
}

/// An http or https URL.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
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
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a duration above zero with its unit, such as \"2s\" or \"500ms\"".into()),
    }
}

/// The root of the listener that the configuration describes.
pub(super) fn own_root(loaded: &Loaded) -> Option<Url> {
    let server = &loaded.settings.server;
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let ip = match server.listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let address = SocketAddr::new(ip, server.listen.port());
    Url::parse(&format!("{scheme}://{address}/")).ok()
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

/// Whom to ask, and how.
pub(super) struct Target<'a> {
    pub(super) connect: &'a ConnectArgs,
    pub(super) url: Url,
    /// Whether it is the own listener, whose certificate is for another name.
    pub(super) own: bool,
    /// What gives the right to details.
    pub(super) token: Option<String>,
    pub(super) timeout: Duration,
}

impl Target<'_> {
    /// Refuses options that do not fit the URL.
    pub(super) fn check(&self) -> Result<(), u8> {
        let connect = self.connect;
        let tls = connect.insecure || connect.ca.is_some() || connect.server_name.is_some();
        if self.url.scheme() == "http" && tls {
            let message = "--insecure, --ca and --server-name are for an https URL";
            return Err(fail(USAGE, message));
        }
        Ok(())
    }

    /// Asks for `url`, within the timeout.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, String> {
        let asked = tokio::time::timeout(self.timeout, self.ask(url.clone())).await;
        asked.unwrap_or_else(|_| {
            let limit = humantime::format_duration(self.timeout);
            Err(format!("no answer within {limit}"))
        })
    }

    /// One GET, straight to the host: no proxy, no redirect.
    async fn ask(&self, mut url: Url) -> Result<Answer, String> {
        let connect = self.connect;
        let verified = connect.ca.is_some() || connect.server_name.is_some() || !self.own;
        let mut client = ClientBuilder::new().no_proxy().redirect(redirect::Policy::none());
        let ca = connect.ca.clone().map(ConfigPath);
        // Plain HTTP needs no authorities, which an image may be without.
        let insecure = connect.insecure || !verified || url.scheme() == "http";
        // As checks verify: a self-signed certificate is trusted as it is.
        let tls = client_config(&TlsOptions { ca, insecure, ..TlsOptions::default() })
            .map_err(|wrong| wrong.first().map_or_else(String::new, |e| e.message.clone()))?;
        client = client.tls_backend_preconfigured(tls);
        if let Some(path) = &connect.unix {
            client = client.unix_socket(path.clone());
        }
        if let Some(name) = &connect.server_name {
            if connect.unix.is_none() {
                let addresses = addresses(&url).await?;
                client = client.resolve_to_addrs(name, &addresses);
            }
            url.set_host(Some(name)).map_err(|e| format!("--server-name: {e}"))?;
        }
        let client = client.build().map_err(|e| root_cause(&e))?;
        let mut request = client.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|e| root_cause(&e))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|e| root_cause(&e))?;
        Ok(Answer { status, body })
    }
}

/// Runs `asking` to its end on a runtime of its own.
pub(super) fn block_on<T>(asking: impl Future<Output = T>) -> Result<T, u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fail(IO, &format!("cannot start a runtime: {error}")))?;
    let result = runtime.block_on(asking);
    // A name look-up may still block a thread of the runtime.
    runtime.shutdown_background();
    Ok(result)
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
