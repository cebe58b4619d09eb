//! The configured headers of a request, including credentials.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::{OptionError, Secret};

use super::http1::{bearer, sensitive};

/// A user name and a password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicAuth {
    /// The user name, without a colon.
    username: String,
    /// The password.
    password: Secret,
}

/// Headers that frame the exchange itself.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The options that become headers.
pub(crate) struct HeaderOptions<'a> {
    pub(crate) headers: &'a BTreeMap<String, Secret>,
    pub(crate) basic_auth: Option<&'a BasicAuth>,
    pub(crate) bearer: Option<&'a Secret>,
    /// Headers that the check itself sets, beside those that frame any exchange.
    pub(crate) reserved: &'a [HeaderName],
}

impl HeaderOptions<'_> {
    /// The configured headers, and the `Authorization` that `url` or an option asks for.
    pub(crate) fn read(&self, url: Option<&Url>, errors: &mut Vec<OptionError>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let mut wrong = |text: &str| {
                errors.push(OptionError::new(format!("headers.{name}"), text));
            };
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                wrong("this is no header name; write letters, digits and -");
                continue;
            };
            if FRAMING.contains(&parsed) || self.reserved.contains(&parsed) {
                wrong("the check itself sets this header; leave it out");
                continue;
            }
            match sensitive(value.expose()) {
                None => wrong("the value holds a character that no header can; write it as ASCII"),
                Some(value) => {
                    if headers.insert(parsed, value).is_some() {
                        wrong("this header is given twice; headers differ in more than case");
                    }
                }
            }
        }
        if let Some(credentials) = self.credentials(url, &headers, errors) {
            headers.insert(header::AUTHORIZATION, credentials);
        }
        headers
    }

    /// The `Authorization` that the URL, `basic_auth` or `bearer` ask for; only one may.
    fn credentials(
        &self,
        url: Option<&Url>,
        headers: &HeaderMap,
        errors: &mut Vec<OptionError>,
    ) -> Option<HeaderValue> {
        let colon = "the user name holds a colon; it must have none";
        let text = match self.bearer {
            Some(token) if token.expose().trim().is_empty() => {
                "the token is empty; write one, or leave this out"
            }
            _ => "the token holds a character that no header can; write it as ASCII",
        };
        let in_url = url.filter(|u| !u.username().is_empty() || u.password().is_some());
        let given = [
            ("url", in_url.map(|url| of_url(url).ok_or(colon))),
            ("basic_auth", self.basic_auth.map(|auth| auth.header().ok_or(colon))),
            ("bearer", self.bearer.map(|token| bearer(token).ok_or(text))),
        ];
        let mut first = headers.contains_key(header::AUTHORIZATION).then_some("headers");
        let mut credentials = None;
        for (option, header) in given {
            let Some(header) = header else { continue };
            match (first, header) {
                (Some(first), _) => {
                    let text = format!("credentials are in `{first}` already; give them once");
                    errors.push(OptionError::new(option, text));
                }
                (None, Err(text)) => errors.push(OptionError::new(option, text)),
                (None, Ok(header)) => credentials = Some(header),
            }
            first = first.or(Some(option));
        }
        credentials
    }
}

impl BasicAuth {
    fn header(&self) -> Option<HeaderValue> {
        basic(self.username.as_bytes(), self.password.expose().as_bytes())
    }
}

fn of_url(url: &Url) -> Option<HeaderValue> {
    let user: Vec<u8> = percent_decode_str(url.username()).collect();
    let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
    basic(&user, &password)
}

/// RFC 7617: the user name ends at the first colon.
fn basic(user: &[u8], password: &[u8]) -> Option<HeaderValue> {
    if user.contains(&b':') {
        return None;
    }
    let pair = [user, b":", password].concat();
    sensitive(&format!("Basic {}", BASE64.encode(pair)))
}
