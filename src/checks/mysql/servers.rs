//! The servers that a URL names, and how they are reached.

use percent_encoding::percent_decode_str;
use url::Url;

use super::url::KNOWN;
use crate::config::{ConfigPath, OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::net::database::DatabaseUrl;
use crate::net::{Endpoint, ServerAddress, TlsClient};

/// The port of a URL that names none.
const PORT: u16 = 3306;

/// The user of a URL that names none.
const USER: &str = "root";

/// How a server is reached.
pub(super) struct Server {
    pub(super) address: ServerAddress,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) tls: TlsMode,
    /// What is sent at the start of a session.
    pub(super) set_up: Option<String>,
}

/// Whether TLS is spoken. A socket of this host is used without.
#[derive(Debug, Clone)]
pub(super) enum TlsMode {
    Off,
    IfOffered(TlsClient),
    Required(TlsClient),
}

/// The servers of a URL, in the order in which they are tried.
pub(super) struct Servers {
    pub(super) servers: Vec<Server>,
    pub(super) url: DatabaseUrl,
}

impl Servers {
    /// Reads the options `url` and `tls`.
    pub(super) fn read(
        text: &Secret,
        tls: Option<Tls>,
        errors: &mut Vec<OptionError>,
    ) -> Option<Self> {
        let url = DatabaseUrl::read(text, &KNOWN, errors);
        let mode = tls_mode(url.as_ref(), tls, errors);
        let (url, mode) = (url?, mode?);
        let Some(set_up) = set_up(&url) else {
            errors.push(invalid_value());
            return None;
        };
        let read = |one: &Url| server(one, &url, mode.clone(), set_up.clone());
        let Some(servers) = url.servers().iter().map(read).collect::<Option<Vec<Server>>>() else {
            errors.push(invalid_value());
            return None;
        };
        (!servers.is_empty()).then_some(Self { servers, url })
    }

    /// Whether the URL says that the server is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.url.is("mariadb")
    }

    /// Hides the password.
    pub(super) fn redaction(&self) -> Redaction {
        self.url.redaction()
    }

    pub(super) fn first(&self) -> &Server {
        &self.servers[0]
    }
}

fn invalid_value() -> OptionError {
    let message = "a value in it is not valid: its port, its TLS mode, its address or its \
                   percent-encoding; right are the forms of the reference";
    OptionError::new("url", message)
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// The server of a URL that names one; `None` where a value in it is not valid.
fn server(one: &Url, url: &DatabaseUrl, tls: TlsMode, set_up: Option<String>) -> Option<Server> {
    let address = if let Some(path) = url.get("socket") {
        ServerAddress::unix(path).ok()?
    } else {
        let host = one.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
        let port = one.port().unwrap_or(PORT);
        ServerAddress::from(Endpoint::parse(&format!("{host}:{port}")).ok()?)
    };
    let user = decoded(one.username())?;
    let password = one.password().map(|password| decoded(password).map(Secret::new));
    let database = decoded(one.path().trim_start_matches('/'))?;
    Some(Server {
        address,
        user: if user.is_empty() { USER.to_owned() } else { user },
        password: match password {
            Some(password) => Some(password?),
            None => None,
        },
        database: (!database.is_empty()).then_some(database),
        tls,
        set_up,
    })
}

/// How TLS is spoken, by the URL or by the option.
fn tls_mode(
    url: Option<&DatabaseUrl>,
    tls: Option<Tls>,
    errors: &mut Vec<OptionError>,
) -> Option<TlsMode> {
    if let Some(Tls(choice)) = tls {
        if url.is_some_and(|url| url.sets("ssl")) {
            errors.push(OptionError::new("tls", "the url sets TLS too; say it in one of the two"));
        }
        let Some(options) = choice else { return Some(TlsMode::Off) };
        return client(&options, errors).map(TlsMode::Required);
    }
    let get = |name: &str| url.and_then(|url| url.get(name));
    let path = |name: &str| get(name).map(|path| ConfigPath(path.into()));
    let mode = get("ssl-mode").map(|mode| mode.to_ascii_lowercase().replace('-', "_"));
    let (verifies, named) = match mode.as_deref() {
        // MySQL's own clients verify by an authority that they are given.
        None if get("ssl-ca").is_some() => (true, false),
        None | Some("preferred" | "prefer" | "required" | "require") => (false, false),
        Some("disabled" | "disable") => return Some(TlsMode::Off),
        Some("verify_ca") => (true, false),
        Some("verify_identity" | "verify_full") => (true, true),
        Some(_) => {
            errors.push(invalid_value());
            return None;
        }
    };
    let options = TlsOptions {
        ca: path("ssl-ca").filter(|_| verifies),
        cert: path("ssl-cert"),
        key: path("ssl-key"),
        server_name: None,
        insecure: !verifies,
    };
    let mut wrong = Vec::new();
    let tls = client(&options, &mut wrong);
    // The path of a file stands in the URL, so its option is there.
    errors.extend(wrong.into_iter().map(|error| OptionError::new("url", error.message)));
    let tls = tls?;
    Some(match mode.as_deref() {
        None | Some("preferred" | "prefer") if !verifies => TlsMode::IfOffered(tls),
        _ if verifies && !named => TlsMode::Required(tls.of_any_name()),
        _ => TlsMode::Required(tls),
    })
}

fn client(options: &TlsOptions, errors: &mut Vec<OptionError>) -> Option<TlsClient> {
    TlsClient::new(options, &[]).map_err(|wrong| errors.extend(wrong)).ok()
}

/// The statement that sets up a session as the URL asks for it; the outer `None` stands for a
/// value that is not valid.
#[allow(clippy::option_option, reason = "neither a value that is wrong nor none")]
fn set_up(url: &DatabaseUrl) -> Option<Option<String>> {
    let word = |text: &String| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+-:/".contains(c))
    };
    let mut settings = Vec::new();
    if let Some(zone) = url.get("time-zone").or_else(|| url.get("timezone")) {
        settings.push(format!("time_zone='{}'", Some(zone).filter(word)?));
    }
    // Some libraries take a list, the best first.
    let first = |list: String| list.split(',').next().unwrap_or_default().to_owned();
    let (charset, collation) = (url.get("charset").map(first), url.get("collation"));
    if charset.is_some() || collation.is_some() {
        let charset = Some(charset.unwrap_or_else(|| "utf8mb4".to_owned())).filter(word)?;
        let collation = match collation {
            Some(collation) => format!(" COLLATE {}", Some(collation).filter(word)?),
            None => String::new(),
        };
        settings.push(format!("NAMES {charset}{collation}"));
    }
    Some((!settings.is_empty()).then(|| format!("SET {}", settings.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Servers, Vec<OptionError>> {
        let mut errors = Vec::new();
        let servers = Servers::read(&Secret::new(url), None, &mut errors);
        servers.filter(|_| errors.is_empty()).ok_or(errors)
    }

    #[test]
    fn a_url_names_servers_a_user_and_a_database() {
        let servers = read("mysql://app:p%40ss@one,[::1]:3307/orders?ssl-mode=disabled");
        let servers = servers.expect("a URL").servers;
        let places: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(places, ["one:3306", "[::1]:3307"]);
        for server in &servers {
            assert_eq!((server.user.as_str(), server.database.as_deref()), ("app", Some("orders")));
            assert_eq!(server.password.as_ref().map(Secret::expose), Some("p@ss"));
            assert!(matches!(server.tls, TlsMode::Off) && server.set_up.is_none());
        }
        let short = read("mariadb://db?socket=/run/mysqld/mysqld.sock").expect("a URL");
        let server = short.first();
        assert_eq!(server.address.to_string(), "/run/mysqld/mysqld.sock");
        assert_eq!((server.user.as_str(), server.database.as_deref()), ("root", None));
        assert!(matches!(server.tls, TlsMode::IfOffered(_)) && short.is_mariadb());
    }

    #[test]
    fn a_session_is_set_up_as_the_url_asks_for_it() {
        let set_up = |query: &str| {
            let url = format!("mysql://db/?ssl-mode=disabled&{query}");
            read(&url).map(|servers| servers.first().set_up.clone())
        };
        for (query, wanted) in [
            ("charset=latin1", "SET NAMES latin1"),
            ("charset=utf8mb4,utf8", "SET NAMES utf8mb4"),
            ("collation=utf8mb4_bin", "SET NAMES utf8mb4 COLLATE utf8mb4_bin"),
            ("timezone=%2B00:00&charset=utf8", "SET time_zone='+00:00', NAMES utf8"),
        ] {
            assert_eq!(set_up(query).expect(query).as_deref(), Some(wanted));
        }
        for wrong in ["charset=a'b", "timezone=';x", "ssl-mode=sure", "socket=relative.sock"] {
            let url = format!("mysql://db/?{wrong}");
            assert!(read(&url).is_err_and(|errors| errors[0].path == "url"), "{wrong}");
        }
    }

    #[test]
    fn every_mode_of_tls_is_known() {
        let mode = |mode: &str| {
            read(&format!("mysql://db/?ssl-mode={mode}")).map(|s| s.first().tls.clone())
        };
        assert!(matches!(mode("DISABLED"), Ok(TlsMode::Off)));
        assert!(matches!(mode("preferred"), Ok(TlsMode::IfOffered(_))));
        for required in ["required", "VERIFY_CA", "verify_identity"] {
            assert!(matches!(mode(required), Ok(TlsMode::Required(_))), "{required}");
        }
    }
}
