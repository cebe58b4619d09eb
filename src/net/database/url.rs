//! The URL of a database server, as applications write it.
//!
//! # What is accepted
//! A scheme with the suffix of a driver (`postgresql+asyncpg`), several hosts with a comma between
//! them, and parameters of other programs. A URL such as `DATABASE_URL` is written for an
//! application's own library: a parameter that is not known here is ignored, with one warning.
//!
//! # What is never shown
//! Where a password holds an unescaped `@`, `/` or `?`, any part of the URL may be a piece of it.
//! No message repeats the URL; the warning names parameters only where nothing in them looks like
//! the rest of a password.

use percent_encoding::percent_decode_str;
#[cfg(feature = "postgres")]
use sqlx::ConnectOptions;
use url::Url;

use crate::config::{OptionError, Redaction, Secret};

/// What a kind of database knows of its URLs.
pub(crate) struct Known {
    /// Schemes without the suffix of a driver, the usual one first.
    pub(crate) schemes: &'static [&'static str],
    /// Parameters that the driver knows, or that are handled here.
    pub(crate) parameters: &'static [&'static str],
    /// Parameters of the database's own clients that make no difference to one short session.
    pub(crate) without_effect: &'static [&'static str],
    /// Other spellings of parameters, and what each stands for.
    pub(crate) aliases: &'static [(&'static str, &'static str)],
}

/// A URL of the right scheme: one for each server that it names.
#[derive(Clone)]
pub(crate) struct DatabaseUrl {
    servers: Vec<Url>,
    passed_over: Vec<String>,
}

impl DatabaseUrl {
    /// Reads the option `url`.
    pub(crate) fn read(
        text: &Secret,
        known: &Known,
        errors: &mut Vec<OptionError>,
    ) -> Option<Self> {
        match Self::parse(text.expose(), known) {
            Ok(url) => Some(url),
            Err(message) => {
                errors.push(OptionError::new("url", message));
                None
            }
        }
    }

    fn parse(text: &str, known: &Known) -> Result<Self, String> {
        let form = format!("{}://user:password@host:port/database", known.schemes[0]);
        let no_url = || {
            format!(
                "not a URL; right is {form}, with special characters of the password \
                 percent-encoded"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(no_url)?;
        let family = scheme.split_once('+').map_or(scheme, |(family, _driver)| family);
        let family = family.to_ascii_lowercase();
        if !known.schemes.contains(&family.as_str()) {
            return Err(format!("not a URL of this kind; right is {form}"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let mut servers = Vec::new();
        let mut passed_over = Vec::new();
        for host in hosts.split(',') {
            let mut url = match host {
                "" => without_host(&family, user, path, known),
                host => Url::parse(&format!("{family}://{user}{host}{path}")).ok(),
            }
            .ok_or_else(no_url)?;
            passed_over = keep_known(&mut url, known)?;
            servers.push(url);
        }
        let servers = servers.into_iter().flat_map(|url| one_for_each_host(&url)).collect();
        Ok(Self { servers, passed_over })
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let mut pairs = self.servers.first()?.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Whether a parameter whose name starts with `prefix` is set.
    pub(crate) fn sets(&self, prefix: &str) -> bool {
        self.servers.iter().any(|url| url.query_pairs().any(|(key, _)| key.starts_with(prefix)))
    }

    /// The URL of each server.
    #[cfg(feature = "mysql")]
    pub(crate) fn servers(&self) -> &[Url] {
        &self.servers
    }

    /// The driver's options for each server, without the parameters in `handled`, which the
    /// driver does not know.
    #[cfg(feature = "postgres")]
    pub(super) fn options<O: ConnectOptions>(
        &self,
        handled: &[&str],
        errors: &mut Vec<OptionError>,
    ) -> Vec<O> {
        let servers = self.servers.iter().map(|url| {
            let mut url = url.clone();
            retain(&mut url, |key| !handled.contains(&key));
            O::from_url(&url)
        });
        servers.collect::<Result<_, _>>().unwrap_or_else(|_| {
            let message = "a value in it is not valid: its port, its TLS mode, its address or \
                           its percent-encoding; right are the forms of the reference";
            errors.push(OptionError::new("url", message));
            Vec::new()
        })
    }

    /// Whether its scheme is `scheme`, with or without the suffix of a driver.
    #[cfg(feature = "mysql")]
    pub(crate) fn is(&self, scheme: &str) -> bool {
        self.servers.first().is_some_and(|url| url.scheme() == scheme)
    }

    /// Hides every form of the password, and the one that Postgres takes from the environment.
    pub(crate) fn redaction(&self) -> Redaction {
        let passwords = self.servers.iter().flat_map(|url| {
            let encoded = url.password().unwrap_or_default();
            let parameter = url.query_pairs().find(|(key, _)| key == "password");
            let written =
                [encoded.to_owned(), percent_decode_str(encoded).decode_utf8_lossy().into_owned()];
            written.into_iter().chain(parameter.map(|(_, value)| value.into_owned()))
        });
        Redaction::of(passwords.chain(std::env::var("PGPASSWORD")))
    }

    /// What is said once about parameters that another program's library reads.
    pub(crate) fn warning(&self) -> Option<String> {
        let names: Vec<String> = self.passed_over.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| {
            format!(
                "parameters that are not known here are passed over: {}; remove them, or leave \
                 them to the application that the URL is written for",
                names.join(", ")
            )
        })
    }
}

/// A URL whose host stands in its parameters, or is the default. It can hold no user, so the user
/// becomes a parameter.
fn without_host(family: &str, user: &str, path: &str, known: &Known) -> Option<Url> {
    let mut url = Url::parse(&format!("{family}://{path}")).ok()?;
    let Some(user) = user.strip_suffix('@') else { return Some(url) };
    if !known.parameters.contains(&"user") {
        return None;
    }
    let (name, password) = user.split_once(':').map_or((user, None), |(n, p)| (n, Some(p)));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    url.query_pairs_mut()
        .append_pair("user", &decoded(name))
        .extend_pairs(password.map(|password| ("password", decoded(password))));
    Some(url)
}

/// Drops what makes no difference and what is not known, and returns the names of the latter.
fn keep_known(url: &mut Url, known: &Known) -> Result<Vec<String>, String> {
    let mut passed_over = Vec::new();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut kept = Vec::new();
    for (key, value) in pairs {
        let alias = known.aliases.iter().find(|(other, _)| *other == key);
        let key = alias.map_or(key, |(_, name)| (*name).to_owned());
        if known.parameters.contains(&key.as_str()) || key.starts_with("options[") {
            kept.push((key, value));
        } else if known.without_effect.contains(&key.as_str()) {
        } else if is_name(&key) && !value.contains('@') {
            passed_over.push(key);
        } else {
            return Err(format!(
                "a parameter after the ? is not known; known are {}, and special characters of \
                 the password must be percent-encoded",
                known.parameters.join(", ")
            ));
        }
    }
    if url.query().is_some() {
        set_query(url, &kept);
    }
    passed_over.sort_unstable();
    passed_over.dedup();
    Ok(passed_over)
}

/// Whether this may be a parameter's name, and is not what follows a `?` in a password.
fn is_name(key: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=40).contains(&key.len()) && key.chars().all(part)
}

/// A URL for each host in the parameters `host` and `port`, which libpq reads as lists.
fn one_for_each_host(url: &Url) -> Vec<Url> {
    let list = |name: &str| -> Vec<String> {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, v)| v.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let (hosts, ports) = (list("host"), list("port"));
    if hosts.len() < 2 {
        return vec![url.clone()];
    }
    let of = |(number, host): (usize, &String)| {
        let mut one = url.clone();
        let port = ports.get(number).or(ports.first()).filter(|port| !port.is_empty());
        let mut pairs: Vec<(String, String)> = one.query_pairs().into_owned().collect();
        pairs.retain(|(key, _)| key != "host" && key != "port");
        pairs.push(("host".to_owned(), host.clone()));
        pairs.extend(port.map(|port| ("port".to_owned(), port.clone())));
        set_query(&mut one, &pairs);
        one
    };
    hosts.iter().enumerate().map(of).collect()
}

#[cfg(feature = "postgres")]
fn retain(url: &mut Url, keep: impl Fn(&str) -> bool) {
    if url.query().is_some() {
        let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        pairs.retain(|(key, _)| keep(key));
        set_query(url, &pairs);
    }
}

fn set_query(url: &mut Url, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        url.set_query(None);
    } else {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;
    use crate::net::database::postgres::KNOWN;

    fn read(url: &str) -> Result<(DatabaseUrl, Vec<PgConnectOptions>), String> {
        let mut errors = Vec::new();
        let url = DatabaseUrl::read(&Secret::new(url), &KNOWN, &mut errors);
        let read = url.map(|url| {
            let options = url.options(&["target_session_attrs"], &mut errors);
            (url, options)
        });
        let wrong = errors.pop().map(|error| format!("{}: {}", error.path, error.message));
        match (read, wrong) {
            (Some(read), None) => Ok(read),
            (_, wrong) => Err(wrong.unwrap_or_default()),
        }
    }

    #[test]
    fn a_wrong_url_is_reported_without_any_of_it() {
        assert!(read("postgres://app:hunter2@db/orders?sslmode=require&connect_timeout=5").is_ok());
        for (url, what) in [
            ("app:hunter2@db", "not a URL"),
            ("postgres://app:hunter2@db:port/orders", "not a URL"),
            ("postgres://app:hunter2@db:1,other:port/orders", "not a URL"),
            ("mysql://app:hunter2@db/orders", "not a URL of this kind"),
            ("mysql+hunter2://app:hunter2@db/orders", "not a URL of this kind"),
            ("postgres://app:1?hunter2@db/orders", "a parameter"),
            ("postgres://app:1?x&hunter2@db/orders", "a parameter"),
            ("postgres://app:1?hunter2=2@db/orders", "a parameter"),
            ("postgres://app:a@b?hunter2=c@db/orders", "a parameter"),
            ("postgres://app:hunter2@db/orders?sslmode=hunter2", "a value"),
        ] {
            let error = read(url).err().unwrap_or_default();
            assert!(error.starts_with("url: ") && error.contains(what), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn urls_as_frameworks_write_them_are_read() {
        for scheme in
            ["postgres", "postgresql", "postgresql+asyncpg", "postgres+psycopg2", "postgis"]
        {
            let (url, options) = read(&format!("{scheme}://app:pw@db/orders")).expect("a URL");
            assert_eq!((url.warning(), options.len()), (None, 1), "{scheme}");
            assert_eq!(options[0].get_host(), "db", "{scheme}");
        }
        for silent in ["keepalives=1", "gssencmode=disable", "client_encoding=utf8"] {
            let (url, _) = read(&format!("postgres://app@db/orders?{silent}")).expect("a URL");
            assert_eq!(url.warning(), None, "{silent}");
        }
        let unknown = "postgres://app@db/orders?schema=public&pool=5&pgbouncer=true\
                       &connection_limit=5&sslmode=disable";
        let warning = read(unknown).expect("a URL").0.warning().expect("a warning");
        let names = "`connection_limit`, `pgbouncer`, `pool`, `schema`;";
        assert!(warning.contains(names), "{warning}");
    }

    #[test]
    fn several_hosts_are_servers_of_one_user_and_database() {
        for url in [
            "postgres://app:a%2Cb@one:1,two:2,[::1]:3/orders?sslmode=disable",
            "postgres://app:a%2Cb@/orders?host=one,two,::1&port=1,2,3&sslmode=disable",
        ] {
            let (_, options) = read(url).expect("a URL");
            let places: Vec<(&str, u16)> = options
                .iter()
                .map(|o| (o.get_host().trim_matches(['[', ']']), o.get_port()))
                .collect();
            assert_eq!(places, [("one", 1), ("two", 2), ("::1", 3)], "{url}");
            assert!(options.iter().all(|o| o.get_database() == Some("orders")), "{url}");
            assert!(options.iter().all(|o| o.get_username() == "app"), "{url}");
        }
    }

    #[test]
    fn a_password_is_hidden_encoded_and_decoded() {
        let (url, _) = read("postgres://app:a%2Bb+c%26@db").expect("a URL");
        let redaction = url.redaction();
        assert_eq!(redaction.clean("a%2Bb+c%26 or a+b+c&"), "[secret] or [secret]");
    }
}
