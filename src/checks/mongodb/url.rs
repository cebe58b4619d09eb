//! Reads a connection string (MongoDB's Connection String and DNS Seedlist specifications).
//!
//! Messages contain no part of the URL: if a password contains an unescaped `@`, `/` or `?`, any
//! part may be a piece of the password.

use crate::config::Secret;
use crate::net::{Endpoint, Host};

use super::listing::{Listing, Servers};
use super::login::Login;
use super::query::{Options, decoded, wrong};

/// The port without one in the URL.
const PORT: u16 = 27017;

/// What a URL says.
pub(super) struct MongodbUrl {
    pub(super) servers: Servers,
    pub(super) login: Option<Login>,
    /// Whether to speak TLS, where it says so.
    pub(super) tls: Option<bool>,
    /// The replica set that the server must belong to.
    pub(super) set: Option<String>,
    /// Who asks, as the server's log has it.
    pub(super) app: Option<String>,
}

impl MongodbUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub(super) fn parse(url: &Secret) -> Result<Self, String> {
        let text = url.expose();
        let (rest, is_listed) =
            match (text.strip_prefix("mongodb+srv://"), text.strip_prefix("mongodb://")) {
                (Some(rest), _) => (rest, true),
                (None, Some(rest)) => (rest, false),
                (None, None) => return Err(wrong("not a URL of MongoDB")),
            };
        if rest.contains('#') {
            return Err(wrong("it holds a #, which must be percent-encoded"));
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if host.contains(',') {
            let what = if is_listed {
                "it names several hosts, and a mongodb+srv URL has one name, whose servers DNS lists"
            } else {
                "it names several hosts, and a check asks one server; write a check for each"
            };
            return Err(wrong(what));
        }
        let endpoint = Endpoint::parse_or(host, PORT)
            .map_err(|_| wrong("its host or port is none, or what precedes it is not encoded"))?;
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let database = decoded(path.strip_prefix('/').unwrap_or_default())?;
        let mut options = Options::read(query)?;
        let login = options.login(user, database)?;
        let service = options.service.take();
        let servers = match (is_listed, endpoint.host()) {
            (false, _) if service.is_some() => {
                return Err(wrong("srvServiceName belongs to a mongodb+srv URL"));
            }
            (false, _) => Servers::One(endpoint),
            (true, Host::Name(name)) if !host.contains(':') => {
                let service = service.unwrap_or_else(|| "mongodb".to_owned());
                Servers::Listed(Listing { name: name.clone(), service })
            }
            (true, _) => {
                return Err(wrong("a mongodb+srv URL has a name without a port, which DNS knows"));
            }
        };
        // DNS is not signed, so servers from DNS are contacted over TLS unless the URL turns it
        // off.
        let tls = options.tls.or(is_listed.then_some(true));
        Ok(Self { servers, login, tls, set: options.set, app: options.app })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::login::{Mechanism, PasswordLogin};
    use super::super::query::LONGEST_APP;
    use super::*;

    fn read(url: &str) -> Result<MongodbUrl, String> {
        MongodbUrl::parse(&Secret::new(url))
    }

    fn host(url: &MongodbUrl) -> String {
        match &url.servers {
            Servers::One(endpoint) => endpoint.to_string(),
            Servers::Listed(listing) => listing.service_name(),
        }
    }

    fn password(url: MongodbUrl) -> PasswordLogin {
        match url.login {
            Some(Login::Password(login)) => login,
            login => panic!("{login:?}"),
        }
    }

    #[test]
    fn a_url_may_leave_out_all_but_the_host() {
        for url in ["mongodb://db", "mongodb://db/", "mongodb://db:27017/?", "mongodb://db?"] {
            let short = read(url).expect(url);
            assert_eq!(host(&short), "db:27017", "{url}");
            assert!(short.login.is_none() && short.tls.is_none() && short.set.is_none());
        }
        let url = "mongodb://app:p%40ss@[::1]:1/orders?TLS=true&replicaSet=rs0&appName=a%20b&w=1";
        let long = read(url).expect("a URL");
        assert_eq!(host(&long), "[::1]:1");
        assert_eq!((long.tls, long.set.as_deref()), (Some(true), Some("rs0")));
        assert_eq!(long.app.as_deref(), Some("a b"));
        let login = password(long);
        assert_eq!((&*login.user, login.password.expose()), ("app", "p@ss"));
        assert_eq!((login.source, login.database.as_deref()), (None, Some("orders")));
        assert_eq!(login.mechanism, None);
    }

    #[test]
    fn passwords_are_prepared_and_names_are_not() {
        // A soft hyphen vanishes, and a ligature is taken apart (RFC 4013, section 3).
        let login = password(read("mongodb://I%C2%ADX:I%C2%ADX%EF%AC%81@db").expect("a URL"));
        let prepared = login.prepared.as_ref().map(Secret::expose);
        assert_eq!((&*login.user, prepared), ("I\u{ad}X", Some("IXfi")));
        assert_eq!(
            login.password.expose(),
            "I\u{ad}X\u{fb01}",
            "the older mechanism takes it as it is"
        );
        // A character that only the newer mechanism forbids.
        let older = read("mongodb://u:%07p@db/?authMechanism=SCRAM-SHA-1").expect("a URL");
        assert_eq!(password(older).mechanism, Some(Mechanism::ScramSha1));
    }

    #[test]
    fn a_certificate_may_stand_for_the_user() {
        for (url, user) in [
            ("mongodb://db/?authMechanism=MONGODB-X509", None),
            (
                "mongodb://CN%3Dapp@db/?authMechanism=MONGODB-X509&authSource=%24external",
                Some("CN=app"),
            ),
            ("mongodb+srv://db.example.org/?authSource=$external&authMechanism=MONGODB-X509", None),
        ] {
            match read(url).expect(url).login {
                Some(Login::Certificate(found)) => assert_eq!(found.as_deref(), user, "{url}"),
                login => panic!("{login:?}"),
            }
        }
    }

    #[test]
    fn dns_lists_the_servers_of_a_name_and_they_are_asked_over_tls() {
        let url = read("mongodb+srv://a:b@orders.example.org/shop?w=majority").expect("a URL");
        assert_eq!(
            (host(&url).as_str(), url.tls),
            ("_mongodb._tcp.orders.example.org", Some(true))
        );
        let named = "mongodb+srv://orders.example.org/?srvServiceName=docs&tls=false&srvMaxHosts=2";
        let named = read(named).expect("a URL");
        assert_eq!(
            (host(&named).as_str(), named.tls),
            ("_docs._tcp.orders.example.org", Some(false))
        );
    }

    #[test]
    fn the_message_for_a_wrong_url_holds_no_part_of_it() {
        for (url, what) in [
            ("hunter2", "not a URL of MongoDB"),
            ("http://u:hunter2@db", "not a URL of MongoDB"),
            ("mongodb+srv://u:hunter2@db:1", "a mongodb+srv URL has a name without a port"),
            ("mongodb+srv://u:hunter2@10.0.0.1", "a mongodb+srv URL has a name without a port"),
            ("mongodb+srv://u:hunter2@one,two", "it names several hosts, and a mongodb+srv URL"),
            ("mongodb://db/?srvServiceName=hunter2", "srvServiceName belongs to a mongodb+srv URL"),
            (
                "mongodb://u:hunter2@db/?authMechanism=MONGODB-X509",
                "MONGODB-X509 takes no password",
            ),
            (
                "mongodb://u@db/?authMechanism=MONGODB-X509&authSource=hunter2",
                "with MONGODB-X509, authSource can only be",
            ),
            ("mongodb://u:hunter2@one,two:1/", "it names several hosts"),
            ("mongodb://u:hunter2@", "its host or port is none"),
            ("mongodb://u:hunter2@db:0", "its host or port is none"),
            ("mongodb://u:hunter2@%2Ftmp%2Fmongodb-27017.sock", "its host or port is none"),
            ("mongodb://u:hun/ter2@db", "its host or port is none"),
            ("mongodb://u:hun@ter2@db", "special characters of a password"),
            ("mongodb://u:hun:ter2@db", "special characters of a password"),
            ("mongodb://u:hunter2#@db", "it holds a #"),
            ("mongodb://hunter2@db", "a user needs a password"),
            ("mongodb://:hunter2@db", "the user or the password is empty"),
            ("mongodb://u:%FFhunter2@db", "what is percent-encoded"),
            ("mongodb://u:%07hunter2@db", "the password holds a character"),
            ("mongodb://db/?authSource=hunter2", "authSource and authMechanism need a user"),
            ("mongodb://u:hunter2@db/?authMechanism=PLAIN", "authMechanism can only be"),
            ("mongodb://db/?tls=hunter2", "tls is neither"),
            ("mongodb://db/?tls=true&ssl=false", "tls is given twice"),
            ("mongodb://db/?tlsCAFile=hunter2", "how TLS is spoken"),
            ("mongodb://db/?directConnection=false", "a check asks one server"),
            ("mongodb://db/?replicaSet=a&replicaSet=hunter2", "replicaSet is given twice"),
            ("mongodb://db/?replicaSet=", "replicaSet is empty"),
            ("mongodb://db/?hunter2", "an option has no value"),
            ("mongodb://db/?hunter2=1", "it holds an option that a check does not know"),
            ("mongodb://db/?loadBalanced=true", "it holds an option that a check does not know"),
        ] {
            let error = read(url).err().expect(url);
            assert!(error.starts_with(what) && error.contains("; right is "), "{url}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("ter2"), "{error}");
        }
        let long = format!("mongodb://db/?appName={}", "a".repeat(LONGEST_APP + 1));
        assert!(read(&long).err().expect("too long").starts_with("appName is longer"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = read(&text);
            let _ = read(&format!("mongodb://{text}"));
        }
    }
}
