//! The options of the `vitalsign` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::{KindOptions, OptionError, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::http1::{ALPN, bearer};
use crate::net::{NOT_AFTER, Target, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::{DEGRADED, DOWN, UNKNOWN, UP, Vitalsign};

/// Reads the status of another vitalsign's service from its `/status`.
///
/// `up` is a success and `degraded` a warning; `starting`, `draining` and `down` fail the run with
/// `not_serving`. The message names the checks that are not up; the measurements are the numbers of
/// checks with each status. Do not let two services check each other: once degraded, they keep each
/// other degraded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VitalsignOptions {
    /// Address of the other vitalsign: `"http://orders:8080"`, or with the path that it is nested
    /// at. `/status` is added unless the path ends with it.
    url: Secret,
    /// Its token for details; with it the message contains the reasons of checks that are down.
    token: Option<Secret>,
    /// Options of TLS for an `https` URL.
    tls: Option<Tls>,
}

impl KindOptions for VitalsignOptions {
    const NAME: &'static str = "vitalsign";
    const SUMMARY: &'static str = "another vitalsign's `/status`";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&UP, &DEGRADED, &DOWN, &UNKNOWN, &NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url = self.url().map_err(|text| errors.push(OptionError::new("url", text)));
        let tls = match &url {
            Ok(url) => self.tls(url).map_err(|wrong| errors.extend(wrong)),
            Err(()) => Err(()),
        };
        let target = url.and_then(|url| {
            Target::new(url).map_err(|text| errors.push(OptionError::new("url", text)))
        });
        let token = self.token.as_ref().map(|token| {
            bearer(token).filter(|_| !token.expose().is_empty()).ok_or_else(|| {
                let text = "the token is empty or holds what no header can; write it as ASCII";
                errors.push(OptionError::new("token", text));
            })
        });
        match (target, tls, token.transpose()) {
            (Ok(target), Ok(tls), Ok(token)) => Ok(Arc::new(Vitalsign { target, token, tls })),
            _ => Err(errors),
        }
    }
}

impl VitalsignOptions {
    /// The URL of the status document.
    fn url(&self) -> Result<Url, String> {
        let mut url = Target::read_url(self.url.expose(), "http://host:8080")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a vitalsign takes no user name; write its token as `token`".to_owned());
        }
        if !url.path().ends_with("/status")
            && let Ok(mut path) = url.path_segments_mut()
        {
            path.pop_if_empty().push("status");
        }
        Ok(url)
    }

    fn tls(&self, url: &Url) -> Result<Option<TlsClient>, Vec<OptionError>> {
        if let Some(text) = Tls::contradiction(self.tls.as_ref(), url.scheme()) {
            return Err(vec![OptionError::new("tls", text)]);
        }
        match &self.tls {
            Some(Tls(Some(options))) => TlsClient::new(options, ALPN).map(Some),
            _ if url.scheme() == "https" => TlsClient::new(&TlsOptions::default(), ALPN).map(Some),
            _ => Ok(None),
        }
    }
}
