//! Where a broker is and who asks it, as its URL says.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::net::{Endpoint, TlsClient};

/// What the URLs of a kind look like.
#[derive(Debug)]
pub(crate) struct Form {
    /// The scheme without TLS, and the port without one in the URL.
    pub(crate) plain: (&'static str, u16),
    /// The same with TLS.
    pub(crate) secure: (&'static str, u16),
    /// What a right URL looks like.
    pub(crate) right: &'static str,
}

/// What a URL says.
pub(crate) struct Location {
    pub(crate) endpoint: Endpoint,
    /// Whether the scheme is the one with TLS.
    pub(crate) secure: bool,
    /// Empty where there is none.
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    /// What follows the first slash behind the host, decoded; none without a slash.
    pub(crate) path: Option<String>,
}

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right; never any of the URL, for where a password holds an
    /// unescaped `@` or `/`, any part may be a piece of it.
    pub(crate) fn read(url: &Secret, form: &Form) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; right is {}", form.right);
        let encoding = "with special characters of the password percent-encoded";
        if names_several_hosts(url.expose()) {
            return Err(wrong("it names several hosts, while one check asks one server"));
        }
        let url =
            Url::parse(url.expose()).map_err(|_| format!("{}, {encoding}", wrong("not a URL")))?;
        let (secure, port) = match url.scheme() {
            scheme if scheme == form.plain.0 => (false, form.plain.1),
            scheme if scheme == form.secure.0 => (true, form.secure.1),
            _ => return Err(wrong("not a URL of this kind")),
        };
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
        Ok(Self { endpoint, secure, user, password, path })
    }

    /// As [`read`](Self::read), of a kind whose URLs end with the host.
    pub(crate) fn read_host(url: &Secret, form: &Form) -> Result<Self, String> {
        let location = Self::read(url, form)?;
        if location.path.as_ref().is_some_and(|path| !path.is_empty()) {
            let text = "it holds a path, where nothing is known";
            return Err(format!("{text}; right is {}", form.right));
        }
        Ok(location)
    }

    /// Hides the password from every message.
    pub(crate) fn redaction(&self) -> Redaction {
        Redaction::of(self.password.as_ref().map(|password| password.expose().to_owned()))
    }
}

/// Whether a list of hosts stands where URLs have one, as some client libraries take it.
fn names_several_hosts(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts.contains(',')
}

/// The client of TLS for a URL that is `secure` or not, and the option `tls`; where the URL is
/// wrong itself, the options are read for what is wrong with them.
///
/// # Errors
/// Every option that is wrong, or that contradicts the URL.
pub(crate) fn tls_of(
    form: &Form,
    secure: Option<bool>,
    options: Option<Tls>,
) -> Result<Option<TlsClient>, Vec<OptionError>> {
    let contradiction = |(scheme, _): (&str, u16), how, (other, _): (&str, u16)| {
        let text = format!("{scheme}:// is asked {how} TLS; write {other}:// or leave this out");
        Err(vec![OptionError::new("tls", text)])
    };
    match (secure, options) {
        (Some(false), Some(Tls(Some(_)))) => contradiction(form.plain, "without", form.secure),
        (Some(true), Some(Tls(None))) => contradiction(form.secure, "with", form.plain),
        (Some(true), None) => TlsClient::new(&TlsOptions::default(), &[]).map(Some),
        (_, Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        plain: ("amqp", 5672),
        secure: ("amqps", 5671),
        right: "amqp://user:password@host:5672/vhost",
    };

    fn read(url: &str) -> Result<Location, String> {
        Location::read(&Secret::new(url), &FORM)
    }

    #[test]
    fn a_url_may_leave_out_all_but_the_host() {
        let short = read("amqp://broker").expect("a URL");
        assert_eq!(short.endpoint.to_string(), "broker:5672");
        assert!(!short.secure && short.password.is_none() && short.user.is_empty());
        assert_eq!(short.path, None);
        let long = read("amqps://app:p%40ss@[::1]/a%2Fb").expect("a URL");
        assert_eq!(long.endpoint.to_string(), "[::1]:5671");
        assert!(long.secure && long.user == "app");
        assert_eq!(long.password.as_ref().map(Secret::expose), Some("p@ss"));
        assert_eq!(long.path.as_deref(), Some("a/b"));
        assert_eq!(read("amqp://broker/").expect("a URL").path.as_deref(), Some(""));
    }

    #[test]
    fn a_wrong_url_is_told_without_any_of_it() {
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
            let error = read(url).err().expect(url);
            assert!(error.starts_with(what), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let url = Secret::new("amqp://broker/hunter2");
        let error = Location::read_host(&url, &FORM).err().expect("a path");
        assert!(error.starts_with("it holds a path") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_scheme_and_the_option_must_agree_on_tls() {
        let told = |secure, options| {
            let error = tls_of(&FORM, Some(secure), options).expect_err("a contradiction");
            format!("{}: {}", error[0].path, error[0].message)
        };
        let wanted = "tls: amqp:// is asked without TLS; write amqps:// or leave this out";
        assert_eq!(told(false, Some(Tls(Some(TlsOptions::default())))), wanted);
        let wanted = "tls: amqps:// is asked with TLS; write amqp:// or leave this out";
        assert_eq!(told(true, Some(Tls(None))), wanted);
        assert!(matches!(tls_of(&FORM, Some(false), None), Ok(None)));
    }
}
