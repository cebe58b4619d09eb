//! The target of a request: a URL, parsed once.

use std::borrow::Cow;

use hyper::Uri;
use hyper::header::HeaderValue;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use percent_encoding::{AsciiSet, percent_encode};
use url::{Position, Url};

use super::{Endpoint, shared};
use crate::config::names_several_hosts;

/// A URL without user name, password and fragment, and what a request needs of it.
pub(crate) struct Target {
    url: Url,
    endpoint: Endpoint,
    uri: Uri,
    host: HeaderValue,
    /// Of the CLIENT span; without the query.
    attributes: [KeyValue; 3],
}

const SEVERAL_HOSTS: &str =
    "it names several hosts, while one check asks one; write a check for each";

impl Target {
    /// Reads the URL of an option.
    ///
    /// # Errors
    /// What is wrong with it, and that `example` would be right; never the text itself.
    pub(crate) fn read_url(text: &str, example: &str) -> Result<Url, String> {
        if names_several_hosts(text) {
            return Err(SEVERAL_HOSTS.to_owned());
        }
        Url::parse(text).map_err(|error| format!("this is no URL ({error}); write {example:?}"))
    }

    /// Takes `url` apart.
    ///
    /// # Errors
    /// What is wrong with it and what would be right; never the URL itself.
    pub(crate) fn new(url: Url) -> Result<Self, &'static str> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the scheme is not HTTP's; write http:// or https://");
        }
        Self::parts(url, "the URL names no host; write \"http://host/path\"")
    }

    /// Takes the `url` of a WebSocket apart.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "websocket")]
    pub(crate) fn websocket(url: Url) -> Result<Self, &'static str> {
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err("the scheme is not WebSocket's; write ws:// or wss://");
        }
        Self::parts(url, "the URL names no host; write \"ws://host/path\"")
    }

    /// Takes `url` apart; `wrong` is said where it names no host.
    fn parts(mut url: Url, wrong: &'static str) -> Result<Self, &'static str> {
        let host = url.host().ok_or(wrong)?;
        if url.host_str().is_some_and(|hosts| hosts.contains(',')) {
            return Err(SEVERAL_HOSTS);
        }
        let port = url.port_or_known_default().ok_or(wrong)?;
        let endpoint = Endpoint::new(host.into(), port)
            .ok_or("port 0 is nobody's; write one from 1 to 65535")?;
        // Both are only refused to URLs without a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let unfit = "the path or query holds a character that must be escaped; write it as %XX";
        let uri = url[Position::BeforePath..Position::AfterQuery].parse().map_err(|_| unfit)?;
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let host = HeaderValue::from_str(host).map_err(|_| wrong)?;
        let full = url[..Position::AfterPath].to_owned();
        let [address, port] = endpoint.attributes();
        let attributes = [KeyValue::new(semconv::URL_FULL, shared(full)), address, port];
        Ok(Self { url, endpoint, uri, host, attributes })
    }

    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Path and query, as the request line has them.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The `Host` header.
    pub(crate) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(crate) fn attributes(&self) -> Vec<KeyValue> {
        self.attributes.to_vec()
    }

    pub(crate) fn is_secure(&self) -> bool {
        matches!(self.url.scheme(), "https" | "wss")
    }

    /// Scheme, host and port are the same: what is secret may be sent to both.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.url.scheme() == other.url.scheme() && self.endpoint == other.endpoint
    }

    /// The URL that `reference` is for a document here (RFC 3986, section 5). It may be written in
    /// UTF-8; bytes in another encoding are escaped as they are.
    pub(crate) fn join(&self, reference: &[u8]) -> Option<Url> {
        let reference = match std::str::from_utf8(reference) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => percent_encode(reference, &AsciiSet::EMPTY).to_string().into(),
        };
        self.url.join(&reference).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_may_be_written_in_any_encoding() {
        let target = Target::new("http://a/b/c?d".parse().expect("a URL")).expect("a target");
        for (reference, wanted) in [
            (&b"/caf\xc3\xa9"[..], "http://a/caf%C3%A9"),
            (b"/caf\xe9", "http://a/caf%E9"),
            (b"x?q=\xc3\xa9 y", "http://a/b/x?q=%C3%A9%20y"),
            (b"http://b\xc3\xbccher/", "http://xn--bcher-kva/"),
            (b"/a b%20c", "http://a/a%20b%20c"),
        ] {
            assert_eq!(target.join(reference).expect("a URL").as_str(), wanted);
        }
        assert_eq!(target.join(b"http://[::1"), None);
    }
}
