//! Reads a URL: the servers, the credentials, and whether TLS is used.
//!
//! Messages contain no part of the URL: if a password contains an unescaped `@` or `/`, any part
//! may be a piece of the password.

use percent_encoding::percent_decode_str;

use crate::config::Secret;
use crate::net::{Endpoint, Schemes, ServerAddress, ServerUrl, UrlForm};

use super::connection::Login;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

const SERVER: UrlForm = UrlForm {
    schemes: &[
        Schemes { plain: ("redis", PORT), secure: ("rediss", PORT) },
        Schemes { plain: ("valkey", PORT), secure: ("valkeys", PORT) },
    ],
    example: "redis://user:password@host:6379/0",
};

const SENTINEL: UrlForm = UrlForm {
    schemes: &[
        Schemes {
            plain: ("redis-sentinel", SENTINEL_PORT),
            secure: ("rediss-sentinel", SENTINEL_PORT),
        },
        Schemes {
            plain: ("redis+sentinel", SENTINEL_PORT),
            secure: ("rediss+sentinel", SENTINEL_PORT),
        },
        Schemes {
            plain: ("valkey-sentinel", SENTINEL_PORT),
            secure: ("valkeys-sentinel", SENTINEL_PORT),
        },
    ],
    example: "redis-sentinel://user:password@host1:26379,host2:26379/master-name/0",
};

const CLUSTER: UrlForm = UrlForm {
    schemes: &[
        Schemes { plain: ("redis-cluster", PORT), secure: ("rediss-cluster", PORT) },
        Schemes { plain: ("redis+cluster", PORT), secure: ("rediss+cluster", PORT) },
        Schemes { plain: ("valkey-cluster", PORT), secure: ("valkeys-cluster", PORT) },
    ],
    example: "redis-cluster://user:password@host1:6379,host2:6379",
};

/// The schemes of a Unix socket.
const SOCKET: [&str; 5] = ["unix", "redis+unix", "valkey+unix", "redis-socket", "redis+socket"];

const SOCKET_EXAMPLE: &str = "unix:///run/redis.sock?db=0";

/// What a URL says.
pub(super) struct RedisUrl {
    pub(super) servers: Servers,
    pub(super) login: Login,
    /// Host, port and scheme; `None` for a Unix socket.
    pub(super) server_url: Option<ServerUrl>,
}

/// Which servers are asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Servers {
    One(ServerAddress),
    /// Sentinels, and the name that they know the master by.
    Sentinels(Vec<ServerAddress>, String),
    /// Nodes of a cluster.
    Cluster(Vec<ServerAddress>),
}

impl RedisUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub(super) fn parse(url: &Secret) -> Result<Self, String> {
        let text = url.expose();
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        let knows = |form: &UrlForm| {
            form.schemes.iter().any(|pair| [pair.plain.0, pair.secure.0].contains(&scheme))
        };
        if SOCKET.contains(&scheme) {
            Self::socket(&text[scheme.len() + 3..])
        } else if knows(&SENTINEL) {
            Self::sentinels(text)
        } else if knows(&CLUSTER) {
            Self::cluster(text)
        } else {
            Self::server(text)
        }
    }

    fn server(text: &str) -> Result<Self, String> {
        let hosts = HostList::of(text);
        if !hosts.others.is_empty() {
            return Err(wrong(
                "it names several hosts, and this scheme has one; several are sentinels in a \
                 redis-sentinel:// URL or nodes in a redis-cluster:// URL",
                &SERVER,
            ));
        }
        let (url, mut login) = hosts.parse(&SERVER)?;
        login.database = database(url.path.as_deref().unwrap_or_default(), &SERVER)?;
        let servers = Servers::One(url.endpoint.clone().into());
        Ok(Self { servers, login, server_url: Some(url) })
    }

    fn sentinels(text: &str) -> Result<Self, String> {
        // The master's name is the first part of the path, or stands behind a #.
        let (text, fragment) = match text.split_once('#') {
            Some((text, fragment)) => (text, Some(decoded(fragment, &SENTINEL)?)),
            None => (text, None),
        };
        let hosts = HostList::of(text);
        let (url, mut login) = hosts.parse(&SENTINEL)?;
        let path = url.path.clone().unwrap_or_default();
        let (master, rest) = match (fragment, path.split_once('/')) {
            (Some(master), _) => (master, path.as_str()),
            (None, Some((master, rest))) => (master.to_owned(), rest),
            (None, None) => (path.clone(), ""),
        };
        if master.is_empty() {
            return Err(wrong("the name of the master is missing", &SENTINEL));
        }
        login.database = database(rest, &SENTINEL)?;
        let servers = Servers::Sentinels(hosts.addresses(&url, &SENTINEL)?, master);
        Ok(Self { servers, login, server_url: Some(url) })
    }

    fn cluster(text: &str) -> Result<Self, String> {
        let hosts = HostList::of(text);
        let (url, login) = hosts.parse(&CLUSTER)?;
        if database(url.path.as_deref().unwrap_or_default(), &CLUSTER)? != 0 {
            return Err(wrong("a cluster has the database 0 alone", &CLUSTER));
        }
        let servers = Servers::Cluster(hosts.addresses(&url, &CLUSTER)?);
        Ok(Self { servers, login, server_url: Some(url) })
    }

    /// Reads what follows `unix://`: `user:password@/run/redis.sock?db=0`, or the same with user and
    /// password as parameters.
    fn socket(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; right is {SOCKET_EXAMPLE}");
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from).map_err(|_| wrong("what is percent-encoded is no UTF-8"))
        };
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (user, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let mut login = Login::default();
        if !user.is_empty() {
            let user = user.strip_suffix('@');
            let user = user.ok_or_else(|| wrong("the path of the socket is not absolute"))?;
            let (user, password) =
                user.split_once(':').ok_or_else(|| wrong("the user has no password"))?;
            login.user = decoded(user)?;
            login.password = Some(Secret::new(decoded(password)?));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "db" | "database" => login.database = number(value).map_err(wrong)?,
                "user" | "username" => login.user = decoded(value)?,
                "pass" | "password" => login.password = Some(Secret::new(decoded(value)?)),
                _ => {
                    return Err(wrong(
                        "a parameter after the ? is not known; known are db, username and password",
                    ));
                }
            }
        }
        if !login.user.is_empty() && login.password.is_none() {
            return Err(wrong("the user has no password"));
        }
        let address = ServerAddress::unix(decoded(path)?).map_err(wrong)?;
        Ok(Self { servers: Servers::One(address), login, server_url: None })
    }
}

/// A URL whose authority may name several hosts.
struct HostList {
    /// The same URL with the first host alone.
    url: Secret,
    others: Vec<String>,
}

impl HostList {
    fn of(text: &str) -> Self {
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        let hosts = text[start..end].rfind('@').map_or(start, |at| start + at + 1);
        let mut list = text[hosts..end].split(',');
        let first = list.next().unwrap_or_default();
        let url = Secret::new([&text[..hosts], first, &text[end..]].concat());
        Self { url, others: list.map(str::to_owned).collect() }
    }

    fn parse(&self, form: &UrlForm) -> Result<(ServerUrl, Login), String> {
        let url = ServerUrl::parse(&self.url, form)?;
        if !url.user.is_empty() && url.password.is_none() {
            return Err(wrong("the user has no password", form));
        }
        let login = Login { user: url.user.clone(), password: url.password.clone(), database: 0 };
        Ok((url, login))
    }

    /// Every host, those after the first with the port that the scheme has.
    fn addresses(&self, first: &ServerUrl, form: &UrlForm) -> Result<Vec<ServerAddress>, String> {
        let port = form.schemes.first().map_or(PORT, |schemes| schemes.plain.1);
        let mut addresses = vec![first.endpoint.clone().into()];
        for host in &self.others {
            let endpoint = Endpoint::parse_or(host, port)
                .map_err(|_| wrong("one of its hosts or ports is none", form))?;
            addresses.push(endpoint.into());
        }
        Ok(addresses)
    }
}

fn database(text: &str, form: &UrlForm) -> Result<u32, String> {
    number(text.trim_matches('/')).map_err(|what| wrong(what, form))
}

fn number(text: &str) -> Result<u32, &'static str> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| "the database is no number") }
}

fn decoded(text: &str, form: &UrlForm) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(String::from).map_err(|_| wrong("what is percent-encoded is no UTF-8", form))
}

fn wrong(what: &str, form: &UrlForm) -> String {
    format!("{what}; right is {}", form.example)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<RedisUrl, String> {
        RedisUrl::parse(&Secret::new(url))
    }

    fn addresses(list: &[&str]) -> Vec<ServerAddress> {
        list.iter().map(|text| Endpoint::parse(text).expect("an address").into()).collect()
    }

    fn password(url: &RedisUrl) -> Option<&str> {
        url.login.password.as_ref().map(Secret::expose)
    }

    #[test]
    fn a_url_may_leave_out_all_but_the_host() {
        for scheme in ["redis", "valkey"] {
            let short = parse(&format!("{scheme}://cache")).expect("a URL");
            let [address] = addresses(&["cache:6379"]).try_into().expect("one");
            assert_eq!(short.servers, Servers::One(address));
            assert!(!short.server_url.as_ref().expect("a host").secure);
            assert!(short.login.password.is_none() && short.login.database == 0);
            let long = parse(&format!("{scheme}s://app:p%40ss@[::1]:7000/15")).expect("a URL");
            let [address] = addresses(&["[::1]:7000"]).try_into().expect("one");
            assert_eq!(long.servers, Servers::One(address));
            assert!(long.server_url.as_ref().expect("a host").secure && long.login.database == 15);
            assert_eq!((long.login.user.as_str(), password(&long)), ("app", Some("p@ss")));
        }
    }

    #[test]
    fn sentinels_have_a_master_by_name() {
        for (url, list, database) in [
            ("redis-sentinel://a/orders", &["a:26379"][..], 0),
            ("redis-sentinel://a,b:1,[::1]:2/orders", &["a:26379", "b:1", "[::1]:2"], 0),
            ("redis+sentinel://:p@a:1,b/orders/3", &["a:1", "b:26379"], 3),
            ("valkeys-sentinel://a,b/3#orders", &["a:26379", "b:26379"], 3),
            ("redis-sentinel://a,b#orders", &["a:26379", "b:26379"], 0),
        ] {
            let read = parse(url).expect(url);
            let wanted = Servers::Sentinels(addresses(list), "orders".to_owned());
            assert_eq!((read.servers, read.login.database), (wanted, database), "{url}");
        }
        let user = parse("redis-sentinel://app:p%2Cq@a,b/orders").expect("a URL");
        assert_eq!((user.login.user.as_str(), password(&user)), ("app", Some("p,q")));
    }

    #[test]
    fn a_cluster_has_nodes() {
        for (url, list) in [
            ("redis-cluster://a", &["a:6379"][..]),
            ("rediss-cluster://app:p@a:1,b/", &["a:1", "b:6379"]),
            ("valkey-cluster://a,b,c/0", &["a:6379", "b:6379", "c:6379"]),
        ] {
            assert_eq!(parse(url).expect(url).servers, Servers::Cluster(addresses(list)), "{url}");
        }
    }

    #[test]
    fn a_socket_has_a_path() {
        for (url, user, secret, database) in [
            ("unix:///run/redis.sock", "", None, 0),
            ("redis+unix:///run/redis.sock?db=2&pass=p%40ss&user=app", "app", Some("p@ss"), 2),
            ("unix://app:p@/run/redis.sock?database=1", "app", Some("p"), 1),
            ("unix://:p@/run/redis%2Esock", "", Some("p"), 0),
            ("redis-socket:///run/redis.sock", "", None, 0),
        ] {
            let read = parse(url).expect(url);
            let address = ServerAddress::unix("/run/redis.sock").expect("a path");
            assert_eq!(read.servers, Servers::One(address), "{url}");
            assert_eq!((read.login.user.as_str(), password(&read)), (user, secret), "{url}");
            assert_eq!(read.login.database, database, "{url}");
        }
    }

    #[test]
    fn the_message_for_a_wrong_url_holds_no_part_of_it() {
        for (url, what) in [
            (":hunter2@cache", "not a URL;"),
            ("redis://:hunter2@cache:port", "not a URL;"),
            ("http://:hunter2@cache", "not a URL of this kind"),
            ("redis://:hunter2@cache/0?db=1", "it holds a ?"),
            ("redis:///hunter2", "the host is missing"),
            ("redis:hunter2", "the host is missing"),
            ("redis://:hunter2@cache:0", "its host or port"),
            ("redis://hunter2@cache", "the user has no password"),
            ("redis://:%FFhunter2@cache", "what is percent-encoded"),
            ("redis://cache/hunter2", "the database is no number"),
            ("redis://:hunter2@one:6379,two:6379", "it names several hosts"),
            ("rediss://one,two/hunter2", "it names several hosts"),
            ("redis-sentinel://:hunter2@one,two", "the name of the master is missing"),
            ("redis-sentinel://:hunter2@one,two/", "the name of the master is missing"),
            ("redis-sentinel://one,hunter2:0/orders", "one of its hosts or ports is none"),
            ("redis-sentinel://one/orders/hunter2", "the database is no number"),
            ("redis-sentinel://hunter2@one/orders", "the user has no password"),
            ("redis-cluster://:hunter2@one,two/1", "a cluster has the database 0 alone"),
            ("redis-cluster://one,,hunter2", "one of its hosts or ports is none"),
            ("unix://hunter2", "the path of the socket is not absolute"),
            ("unix://hunter2@/run/redis.sock", "the user has no password"),
            ("unix:///run/redis.sock?hunter2=1", "a parameter after the ? is not known"),
            ("unix:///run/redis.sock?db=hunter2", "the database is no number"),
            ("unix:///run/redis.sock?user=hunter2", "the user has no password"),
        ] {
            let error = parse(url).err().expect(url);
            assert!(error.starts_with(what) && error.contains("; right is "), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
