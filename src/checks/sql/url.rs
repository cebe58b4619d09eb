//! The URL of a database server: what is wrong with it, told without showing any of it.

use sqlx::ConnectOptions;
use url::Url;

use crate::config::{OptionError, Redaction, Secret};

/// Parameters of other clients that a check can do without: its own timeout holds, and the
/// driver binds no channel.
const IGNORED: [&str; 2] = ["connect_timeout", "channel_binding"];

/// A URL of the right scheme with known parameters.
pub(crate) struct SqlUrl(Url);

impl SqlUrl {
    /// Reads the option `url`.
    ///
    /// No part of it is ever shown: where a password holds an unescaped `@`, `/` or `?`, any part
    /// may be a piece of it.
    pub(crate) fn read(
        text: &Secret,
        schemes: &[&str],
        parameters: &[&str],
        errors: &mut Vec<OptionError>,
    ) -> Option<Self> {
        let form = format!("{}://user:password@host:port/database", schemes[0]);
        let mut refuse = |message: String| {
            errors.push(OptionError::new("url", message));
            None
        };
        let Ok(mut url) = Url::parse(text.expose()) else {
            return refuse(format!(
                "not a URL; right is {form}, with special characters of the password \
                 percent-encoded"
            ));
        };
        if !schemes.contains(&url.scheme()) {
            return refuse(format!("not a URL of this kind; right is {form}"));
        }
        if url.query().is_some() {
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            let kept = pairs.iter().filter(|(key, _)| !IGNORED.contains(&key.as_str()));
            url.query_pairs_mut().clear().extend_pairs(kept);
        }
        let known = |key: &str| parameters.contains(&key) || key.starts_with("options[");
        if !url.query_pairs().all(|(key, _)| known(&key.replace("ssl-", "ssl"))) {
            return refuse(format!(
                "a parameter after the ? is not known; known are {}",
                parameters.join(", ")
            ));
        }
        Some(Self(url))
    }

    /// Whether a parameter whose name starts with `prefix` is set.
    pub(crate) fn sets(&self, prefix: &str) -> bool {
        self.0.query_pairs().any(|(key, _)| key.starts_with(prefix))
    }

    /// The driver's options.
    pub(crate) fn options<O: ConnectOptions>(&self, errors: &mut Vec<OptionError>) -> Option<O> {
        let options = O::from_url(&self.0);
        if options.is_err() {
            let message = "a value in it is not valid: its port, its TLS mode, its address or \
                           its percent-encoding; right are the forms of the reference";
            errors.push(OptionError::new("url", message));
        }
        options.ok()
    }

    /// Whether its scheme is `scheme`.
    pub(crate) fn is(&self, scheme: &str) -> bool {
        self.0.scheme() == scheme
    }

    /// Hides every form of the password, and the one that Postgres takes from the environment.
    pub(crate) fn redaction(&self) -> Redaction {
        let encoded = self.0.password().unwrap_or_default();
        let decoded = percent_decoded(encoded);
        let parameter = self.0.query_pairs().find(|(key, _)| key == "password");
        Redaction::of(
            [encoded.to_owned(), decoded]
                .into_iter()
                .chain(parameter.map(|(_, value)| value.into_owned()))
                .chain(std::env::var("PGPASSWORD")),
        )
    }
}

/// `%2F` and the like resolved; the form decoder would also make spaces of plus signs.
fn percent_decoded(text: &str) -> String {
    let pair = format!("p={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    fn errors_of(url: &str) -> String {
        let mut errors = Vec::new();
        let read = SqlUrl::read(&Secret::new(url), &["postgres"], &["sslmode"], &mut errors);
        if let Some(url) = read {
            url.options::<PgConnectOptions>(&mut errors);
        }
        errors.pop().map(|e| format!("{}: {}", e.path, e.message)).unwrap_or_default()
    }

    #[test]
    fn a_wrong_url_is_told_without_any_of_it() {
        let right = "postgres://app:hunter2@db/orders?sslmode=require&connect_timeout=5";
        assert_eq!(errors_of(right), "");
        for (url, what) in [
            ("app:hunter2@db", "not a URL"),
            ("postgres://app:hunter2@db:port/orders", "not a URL"),
            ("mysql://app:hunter2@db/orders", "not a URL of this kind"),
            ("postgres://app:1?hunter2@db/orders", "a parameter"),
            ("postgres://app:hunter2@db/orders?sslmode=hunter2", "a value"),
        ] {
            let error = errors_of(url);
            assert!(error.starts_with("url: ") && error.contains(what), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_is_hidden_encoded_and_decoded() {
        let url = Secret::new("postgres://app:a%2Bb+c%26@db");
        let url = SqlUrl::read(&url, &["postgres"], &[], &mut vec![]).expect("a URL");
        let redaction = url.redaction();
        assert_eq!(redaction.clean("a%2Bb+c%26 or a+b+c&"), "[secret] or [secret]");
    }
}
