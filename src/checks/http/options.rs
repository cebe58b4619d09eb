//! The options of the `http` kind, and how a check is built from them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName};
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::{ByteSize, KindOptions, OptionError, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::headers::{BasicAuth, HeaderOptions};
use crate::net::http1::{ALPN, sensitive};
use crate::net::json::parse_path;
use crate::net::{NOT_AFTER, Target, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::Http;
use super::expect::{Expect, Statuses};

/// Sends one HTTP/1.1 request and checks the status, headers and body of the answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpOptions {
    /// The URL to request, with `http` or `https`. A user name and password in it are sent as
    /// basic authentication.
    url: Secret,
    /// The request's method, in capitals. Default `"GET"`.
    #[serde(default = "get")]
    method: String,
    /// Headers to send, by name. They replace those that the check sends by default: `Host`,
    /// `User-Agent`, `Accept` and the trace context.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The request's body. Set its type with `Content-Type` in `headers`.
    body: Option<Secret>,
    /// Expectations of the answer.
    #[serde(default)]
    expect: ExpectOptions,
    /// Follow redirects, at most 10, and judge the last answer. Credentials, a client certificate
    /// and configured headers are not sent to another scheme, host or port, except harmless headers
    /// such as `Accept-Language`. A redirect that would send the body there is not followed.
    /// Default false.
    #[serde(default)]
    follow_redirects: bool,
    /// Longest accepted body, after decoding. The body is always read to its end, so that an
    /// incomplete answer is a failure. Default `"1MiB"`.
    #[serde(default = "one_mebibyte")]
    #[schemars(extend("default" = "1MiB"))]
    max_body: ByteSize,
    /// Cookies at the start of each run, by name. Like configured headers, they are sent only to
    /// the URL's scheme, host and port. Cookies that answers set are always sent along the
    /// redirects of the same run, by the rules of RFC 6265.
    #[serde(default)]
    cookies: BTreeMap<String, Secret>,
    /// User name and password to send as basic authentication.
    basic_auth: Option<BasicAuth>,
    /// Token to send as `Authorization: Bearer …`.
    bearer: Option<Secret>,
    /// Keep one connection open between runs, instead of a new one for each run. Then name
    /// resolution, connecting and certificates are checked only when it is opened again. Default
    /// false.
    #[serde(default)]
    reuse: bool,
    /// Options of TLS for an `https` URL.
    tls: Option<Tls>,
}

/// Expectations of an answer; all must be met.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpExpect")]
struct ExpectOptions {
    /// Accepted statuses: classes, numbers or ranges. Default `["2xx"]`.
    #[schemars(extend("default" = ["2xx"]))]
    status: Option<Vec<Statuses>>,
    /// Regular expression that must be found in the body.
    body_regex: Option<String>,
    /// Regular expression that must not be found in the body.
    not_body_regex: Option<String>,
    /// Values that a JSON body must contain, by JSONPath (RFC 9535). A path must select at least
    /// one value, and every selected value must be equal to the given one. Numbers are compared by
    /// value: 1 equals 1.0, and integers of any size are compared exactly. A filter (`[?…]`)
    /// compares numbers as doubles, so a filter with a number of 2^53 or more is refused.
    #[serde(default)]
    json: BTreeMap<String, serde_json::Value>,
    /// Regular expressions that must be found in headers, by name. If a header is repeated, one of
    /// its values must match.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Regular expressions that must not be found in headers, by name. If a header is repeated,
    /// none of its values may match; a missing header is accepted.
    #[serde(default)]
    not_headers: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".to_owned()
}

const fn one_mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

/// The headers that `options` name, which stand at `path`, with their regular expressions.
fn header_regexes(
    options: &BTreeMap<String, String>,
    path: &str,
    errors: &mut Vec<OptionError>,
) -> Vec<(HeaderName, Regex)> {
    let mut regexes = Vec::new();
    for (name, regex) in options {
        let path = format!("{path}.{name}");
        match (HeaderName::from_bytes(name.as_bytes()), Regex::new(regex)) {
            (Ok(name), Ok(regex)) => regexes.push((name, regex)),
            (Err(_), _) => {
                let text = "this is no header name; write letters, digits and -";
                errors.push(OptionError::new(path, text));
            }
            (_, Err(error)) => errors.push(OptionError::bad_regex(&path, &error)),
        }
    }
    regexes
}

impl KindOptions for HttpOptions {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "one request; status, headers, body";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl HttpOptions {
    /// Builds the check from valid options.
    pub(super) fn make(self) -> Result<Http, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url = self.url(&mut errors);
        let method = self.method(&mut errors);
        let sent = HeaderOptions {
            headers: &self.headers,
            basic_auth: self.basic_auth.as_ref(),
            bearer: self.bearer.as_ref(),
            reserved: &[],
        };
        let mut headers = sent.read(url.as_ref(), &mut errors);
        self.add_cookies(&mut headers, &mut errors);
        let expect = self.expect(method.as_ref(), &mut errors);
        let (tls, tls_elsewhere) = self.tls(url.as_ref(), &mut errors);
        let target = url.and_then(|url| {
            let target = Target::new(url);
            target.map_err(|error| errors.push(OptionError::new("url", error))).ok()
        });
        let (Some(target), Some(method), true) = (target, method, errors.is_empty()) else {
            return Err(errors);
        };
        Ok(Http {
            target,
            method,
            headers,
            body: self.body.map(|body| Bytes::copy_from_slice(body.expose().as_bytes())),
            expect,
            follow: self.follow_redirects,
            max_body: self.max_body.0,
            tls,
            tls_elsewhere,
            kept: self.reuse.then(Mutex::default),
        })
    }

    fn url(&self, errors: &mut Vec<OptionError>) -> Option<Url> {
        Target::read_url(self.url.expose(), "http://host/path")
            .map_err(|text| errors.push(OptionError::new("url", text)))
            .ok()
    }

    fn method(&self, errors: &mut Vec<OptionError>) -> Option<Method> {
        let wrong = match Method::from_bytes(self.method.as_bytes()) {
            Ok(Method::CONNECT) => "CONNECT asks for a tunnel; use the kind \"tcp\"".to_owned(),
            Ok(method) => {
                let capitals = method.as_str().to_ascii_uppercase();
                if method.as_str() == capitals {
                    return Some(method);
                }
                format!("methods are written in capitals; write {capitals:?}")
            }
            Err(_) => "this is no method; write one such as \"GET\" or \"POST\"".to_owned(),
        };
        errors.push(OptionError::new("method", wrong));
        None
    }

    fn expect(&self, method: Option<&Method>, errors: &mut Vec<OptionError>) -> Expect {
        let options = &self.expect;
        let statuses = options.status.clone().unwrap_or_else(|| vec![Statuses::SUCCESS]);
        if statuses.is_empty() {
            let text = "no status is expected, so none would do; write one such as \"2xx\"";
            errors.push(OptionError::new("expect.status", text));
        }
        let mut regex = |text: Option<&String>, path: &str| match Regex::new(text?) {
            Ok(regex) => Some(regex),
            Err(error) => {
                errors.push(OptionError::bad_regex(path, &error));
                None
            }
        };
        let mut expect = Expect {
            statuses,
            body: regex(options.body_regex.as_ref(), "expect.body_regex"),
            not_body: regex(options.not_body_regex.as_ref(), "expect.not_body_regex"),
            headers: header_regexes(&options.headers, "expect.headers", errors),
            not_headers: header_regexes(&options.not_headers, "expect.not_headers", errors),
            json: Vec::new(),
        };
        for (text, value) in &options.json {
            match parse_path(text) {
                Ok(path) => expect.json.push((text.clone(), path, value.clone())),
                Err(text) => errors.push(OptionError::new("expect.json", text)),
            }
        }
        if method == Some(&Method::HEAD) && expect.wants_body() {
            let text = "the answer to HEAD has no body; ask with GET or expect nothing of it";
            errors.push(OptionError::new("expect", text));
        }
        expect
    }

    /// Builds the `Cookie` header from the configured cookies.
    fn add_cookies(&self, headers: &mut HeaderMap, errors: &mut Vec<OptionError>) {
        let mut pairs = Vec::new();
        for (name, value) in &self.cookies {
            let mut wrong = |text| errors.push(OptionError::new(format!("cookies.{name}"), text));
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                wrong("this is no name of a cookie; write letters, digits, - and _");
            }
            if !value.expose().bytes().all(|b| b.is_ascii_graphic() && b != b';') {
                wrong("the value holds what no cookie can; write it as ASCII without blanks and ;");
            }
            pairs.push(format!("{name}={}", value.expose()));
        }
        if pairs.is_empty() {
            return;
        }
        if headers.contains_key(header::COOKIE) {
            let text = "cookies are in `headers` already; give them once";
            errors.push(OptionError::new("cookies", text));
        } else if let Some(value) = sensitive(&pairs.join("; ")) {
            headers.insert(header::COOKIE, value);
        }
    }

    /// TLS towards the URL's host, and towards others that redirects lead to.
    fn tls(
        &self,
        url: Option<&Url>,
        errors: &mut Vec<OptionError>,
    ) -> (Option<TlsClient>, Option<TlsClient>) {
        let secure = url.is_some_and(|url| url.scheme() == "https");
        let default = TlsOptions::default();
        // A redirect may lead from http to https, where the options are needed.
        let asks = url.filter(|_| secure || !self.follow_redirects);
        if let Some(text) = asks.and_then(|url| Tls::contradiction(self.tls.as_ref(), url.scheme()))
        {
            errors.push(OptionError::new("tls", text));
            return (None, None);
        }
        let (options, chosen) = match &self.tls {
            Some(Tls(Some(options))) => (options, true),
            Some(Tls(None)) | None => (&default, false),
        };
        let mut made = |client: Result<TlsClient, Vec<OptionError>>, needed: bool| match client {
            Ok(client) => Some(client),
            Err(wrong) => {
                // An error that only concerns redirects fails the run when a redirect is followed.
                if needed {
                    errors.extend(wrong);
                }
                None
            }
        };
        let here = (secure || chosen).then(|| made(TlsClient::new(options, ALPN), true)).flatten();
        let follow = self.follow_redirects;
        let elsewhere =
            follow.then(|| made(TlsClient::for_redirects(options, ALPN), false)).flatten();
        (here, elsewhere)
    }
}
