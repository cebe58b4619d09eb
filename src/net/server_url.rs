//! Reads URLs with a host, a user, a password and a path, for protocols other than HTTP.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{OptionError, Redaction, Secret, Tls, TlsOptions, names_several_hosts};

use super::{Endpoint, TlsClient};

/// What the URLs of a kind look like.
#[derive(Debug)]
pub(crate) struct UrlForm {
    /// The schemes that the kind knows; the first is the usual one.
    pub(crate) schemes: &'static [Schemes],
    /// An example of a right URL.
    pub(crate) example: &'static str,
}

/// Two schemes for the same protocol, each with the port that a URL may leave out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Schemes {
    pub(crate) plain: (&'static str, u16),
    /// The scheme with TLS.
    pub(crate) secure: (&'static str, u16),
}

/// What such a URL says.
#[derive(Debug)]
pub(crate) struct ServerUrl {
    pub(crate) endpoint: Endpoint,
    schemes: &'static Schemes,
    /// Whether the scheme is the one with TLS.
    pub(crate) secure: bool,
    /// Empty where there is none.
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    /// What follows the first slash behind the host, decoded; `None` without a slash.
    pub(crate) path: Option<String>,
}

impl ServerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right. The message holds no part of the URL: where a
    /// password holds an unescaped `@` or `/`, any part may be a piece of the password.
    pub(crate) fn parse(url: &Secret, form: &UrlForm) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; right is {}", form.example);
        let encoding = "with special characters of the password percent-encoded";
        if names_several_hosts(url.expose()) {
            return Err(wrong("it names several hosts, while one check asks one server"));
        }
        let url =
            Url::parse(url.expose()).map_err(|_| format!("{}, {encoding}", wrong("not a URL")))?;
        let (schemes, secure, port) =
            form.find(url.scheme()).ok_or_else(|| wrong("not a URL of this kind"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it holds a ? or #, after which nothing is known"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("the host is missing"))?;
        let endpoint = Endpoint::parse(&format!("{host}:{}", url.port().unwrap_or(port)))
            .map_err(|_| wrong("its host or port is none"))?;
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from).map_err(|_| wrong("what is percent-encoded is no UTF-8"))
        };
        let user = decoded(url.username())?;
        let password = url.password().map(decoded).transpose()?.map(Secret::new);
        let path = url.path().strip_prefix('/').map(decoded).transpose()?;
        Ok(Self { endpoint, schemes, secure, user, password, path })
    }

    /// Reads a URL of a kind whose URLs end with the host.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_without_path(url: &Secret, form: &UrlForm) -> Result<Self, String> {
        let url = Self::parse(url, form)?;
        if url.path.as_ref().is_some_and(|path| !path.is_empty()) {
            let text = "it holds a path, where nothing is known";
            return Err(format!("{text}; right is {}", form.example));
        }
        Ok(url)
    }

    /// Hides the password from every message.
    pub(crate) fn redaction(&self) -> Redaction {
        Redaction::of(self.password.as_ref().map(|password| password.expose().to_owned()))
    }
}

impl UrlForm {
    /// The pair that `scheme` belongs to, whether it is the one with TLS, and its port.
    fn find(&self, scheme: &str) -> Option<(&'static Schemes, bool, u16)> {
        self.schemes.iter().find_map(|schemes| match scheme {
            _ if scheme == schemes.plain.0 => Some((schemes, false, schemes.plain.1)),
            _ if scheme == schemes.secure.0 => Some((schemes, true, schemes.secure.1)),
            _ => None,
        })
    }
}

/// The TLS client for a URL and the option `tls`. Where the URL is wrong itself and therefore
/// `None`, the options are still read for what is wrong with them.
///
/// # Errors
/// Every option that is wrong, or that contradicts the scheme.
pub(crate) fn tls_client(
    url: Option<&ServerUrl>,
    options: Option<Tls>,
) -> Result<Option<TlsClient>, Vec<OptionError>> {
    match (url, options) {
        (Some(ServerUrl { secure: false, schemes, .. }), Some(Tls(Some(_)))) => {
            contradiction(schemes.plain.0, "without", schemes.secure.0)
        }
        (Some(ServerUrl { secure: true, schemes, .. }), Some(Tls(None))) => {
            contradiction(schemes.secure.0, "with", schemes.plain.0)
        }
        (Some(ServerUrl { secure: true, .. }), None) => {
            TlsClient::new(&TlsOptions::default(), &[]).map(Some)
        }
        (_, Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
        _ => Ok(None),
    }
}

fn contradiction(
    scheme: &str,
    how: &str,
    other: &str,
) -> Result<Option<TlsClient>, Vec<OptionError>> {
    let text = format!("{scheme}:// is asked {how} TLS; write {other}:// or leave this out");
    Err(vec![OptionError::new("tls", text)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: UrlForm = UrlForm {
        schemes: &[
            Schemes { plain: ("amqp", 5672), secure: ("amqps", 5671) },
            Schemes { plain: ("rabbit", 1), secure: ("rabbits", 2) },
        ],
        example: "amqp://user:password@host:5672/vhost",
    };

    fn parse(url: &str) -> Result<ServerUrl, String> {
        ServerUrl::parse(&Secret::new(url), &FORM)
    }

    #[test]
    fn a_url_may_leave_out_all_but_the_host() {
        let short = parse("amqp://broker").expect("a URL");
        assert_eq!(short.endpoint.to_string(), "broker:5672");
        assert!(!short.secure && short.password.is_none() && short.user.is_empty());
        assert_eq!(short.path, None);
        let long = parse("amqps://app:p%40ss@[::1]/a%2Fb").expect("a URL");
        assert_eq!(long.endpoint.to_string(), "[::1]:5671");
        assert!(long.secure && long.user == "app");
        assert_eq!(long.password.as_ref().map(Secret::expose), Some("p@ss"));
        assert_eq!(long.path.as_deref(), Some("a/b"));
        assert_eq!(parse("amqp://broker/").expect("a URL").path.as_deref(), Some(""));
        let other = parse("rabbits://broker").expect("a URL");
        assert!(other.secure && other.endpoint.port() == 2);
    }

    #[test]
    fn the_message_for_a_wrong_url_holds_no_part_of_it() {
        for (url, what) in [
            (":hunter2@broker", "not a URL;"),
            ("amqp://:hunter2@broker:port", "not a URL;"),
            ("http://:hunter2@broker", "not a URL of this kind"),
            ("amqp://:hunter2@broker/?a=1", "it holds a ?"),
            ("amqp://:hunter2@one:5672,two:5672", "it names several hosts"),
            ("amqp://one,hunter2/", "it names several hosts"),
            ("amqp:///hunter2", "the host is missing"),
            ("amqp:hunter2", "the host is missing"),
            ("amqp://:hunter2@broker:0", "its host or port"),
            ("amqp://:%FFhunter2@broker", "what is percent-encoded"),
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.starts_with(what), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let url = Secret::new("amqp://broker/hunter2");
        let error = ServerUrl::parse_without_path(&url, &FORM).expect_err("a path");
        assert!(error.starts_with("it holds a path") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_scheme_and_the_option_must_agree_on_tls() {
        for (url, options, wanted) in [
            (
                "amqp://broker",
                Tls(Some(TlsOptions::default())),
                "tls: amqp:// is asked without TLS; write amqps:// or leave this out",
            ),
            (
                "rabbits://broker",
                Tls(None),
                "tls: rabbits:// is asked with TLS; write rabbit:// or leave this out",
            ),
        ] {
            let url = parse(url).expect(url);
            let error = tls_client(Some(&url), Some(options)).expect_err("a contradiction");
            assert_eq!(format!("{}: {}", error[0].path, error[0].message), wanted);
        }
        let plain = parse("amqp://broker").expect("a URL");
        assert!(matches!(tls_client(Some(&plain), None), Ok(None)));
    }
}
