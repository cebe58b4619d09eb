//! The commands that ask a running service: `status`, `incidents`.
//!
//! They ask the service of `--url`, or the listener that the configuration describes. The token that
//! gives the right to details is that of `VITALSIGN_TOKEN`, or the configuration's. A configuration
//! that was not named belongs to the own listener alone: its token is sent nowhere else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use url::Url;

use super::client::{Answer, ConnectArgs, Target, duration, own_root, web_url};
use crate::exit::{CONFIGURATION, IO, USAGE, fail};
use crate::reload::Source;

/// Holds the token that gives the right to details.
const TOKEN: &str = "VITALSIGN_TOKEN";

/// Whom to ask.
#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    /// Address of the service; default: the configured listener. VITALSIGN_TOKEN holds the token for
    /// details, by default it is the configuration's
    #[arg(long, value_name = "URL", value_parser = web_url)]
    url: Option<Url>,
    /// Longest time to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Print the service's own document
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl RemoteArgs {
    /// Whom these arguments mean.
    pub(super) fn target(
        &self,
        config: Option<PathBuf>,
        listen: Option<SocketAddr>,
    ) -> Result<Target<'_>, u8> {
        let given = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let named = config.is_some();
        let needed = self.url.is_none() || (named && given.is_none());
        let loaded = needed.then(|| Source::new(config, listen).load()).transpose();
        let loaded = loaded.map_err(|error| fail(CONFIGURATION, &error.to_string()))?;
        let configured = loaded.as_ref().and_then(|loaded| loaded.settings.server.token.as_ref());
        let token = given.or_else(|| configured.map(|token| token.expose().to_owned()));
        let own = self.url.is_none();
        let root = self.url.clone().or_else(|| loaded.as_ref().and_then(own_root));
        let mut url = root.ok_or_else(|| fail(CONFIGURATION, "the listener has no URL"))?;
        // The routes follow the path that it has.
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let timeout = self.timeout;
        let target = Target { connect: &self.connect, url, own, token, timeout };
        target.check()?;
        Ok(target)
    }
}

impl Target<'_> {
    /// The URL of a route; `path` has no slash at its beginning.
    pub(super) fn route(&self, path: &str) -> Result<Url, u8> {
        let joined = self.url.join(path);
        joined.map_err(|error| fail(USAGE, &format!("{}: {error}", self.url)))
    }

    /// The document of `url`; `None` when there is none.
    pub(super) async fn document(&self, url: &Url) -> Result<Option<Value>, u8> {
        let shown = format!("{}://{}", url.scheme(), url.authority_without_login());
        let refused = |text: &str| fail(IO, &format!("{shown}: {text}"));
        let Answer { status, body } = self.get(url).await.map_err(|text| refused(&text))?;
        let document: Option<Value> = serde_json::from_str(&body).ok();
        match (status.as_u16(), document) {
            (200, Some(document)) => Ok(Some(document)),
            (404, Some(_)) => Ok(None),
            (code, document) => {
                let detail = document.as_ref().and_then(|problem| problem["detail"].as_str());
                let detail = detail.map_or_else(String::new, |text| format!(": {text}"));
                Err(match code {
                    200 | 404 => refused("answered no document of vitalsign"),
                    _ => refused(&format!("answered {status}{detail}")),
                })
            }
        }
    }
}

/// Host and port alone.
trait Authority {
    fn authority_without_login(&self) -> String;
}

impl Authority for Url {
    fn authority_without_login(&self) -> String {
        let host = self.host_str().unwrap_or_default();
        self.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}
