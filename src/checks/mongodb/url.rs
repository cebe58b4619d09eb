//! What a connection string says (MongoDB's Connection String specification), as far as one server
//! is concerned.

use percent_encoding::percent_decode_str;

use crate::config::Secret;
use crate::net::Endpoint;

/// The port without one in the URL.
const PORT: u16 = 27017;

/// What a right URL looks like.
const FORM: &str = "mongodb://user:password@host:27017/?authSource=admin&tls=true";

/// Who logs in.
pub(super) struct Login {
    pub(super) user: String,
    /// Prepared by SASLprep, as SCRAM-SHA-256 has it; names are taken as they are.
    pub(super) password: Secret,
    /// The database that knows the user.
    pub(super) source: String,
}

/// What a URL says.
pub(super) struct Location {
    pub(super) endpoint: Endpoint,
    pub(super) login: Option<Login>,
    /// Whether to speak TLS, where it says so.
    pub(super) tls: Option<bool>,
    /// The replica set that the server must belong to.
    pub(super) set: Option<String>,
    /// Who asks, as the server's log has it.
    pub(super) app: Option<String>,
}

/// Longest name of an application, by the specification of the handshake.
const LONGEST_APP: usize = 128;

/// Options that tell a driver how to go about queries, pools and searching a set: of no concern to
/// one `ping`. In lower case, as all are compared.
const WITHOUT_EFFECT: [&str; 26] = [
    "compressors",
    "connecttimeoutms",
    "heartbeatfrequencyms",
    "journal",
    "localthresholdms",
    "maxconnecting",
    "maxidletimems",
    "maxpoolsize",
    "maxstalenessseconds",
    "minpoolsize",
    "readconcernlevel",
    "readpreference",
    "readpreferencetags",
    "retryreads",
    "retrywrites",
    "servermonitoringmode",
    "serverselectiontimeoutms",
    "serverselectiontryonce",
    "sockettimeoutms",
    "timeoutms",
    "uuidrepresentation",
    "w",
    "waitqueuemultiple",
    "waitqueuetimeoutms",
    "wtimeoutms",
    "zlibcompressionlevel",
];

/// The options that have an effect, as far as they were given.
#[derive(Default)]
struct Options {
    source: Option<String>,
    mechanism: Option<String>,
    tls: Option<bool>,
    set: Option<String>,
    app: Option<String>,
}

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right; never any of the URL, for where a password holds an
    /// unescaped `@`, `/` or `?`, any part may be a piece of it.
    pub(super) fn read(url: &Secret) -> Result<Self, String> {
        let text = url.expose();
        if text.starts_with("mongodb+srv://") {
            let what = "a mongodb+srv URL stands for servers that DNS lists, and a check asks one \
                        server; write the URL of one";
            return Err(wrong(what));
        }
        let rest = text.strip_prefix("mongodb://").ok_or_else(|| wrong("not a URL of MongoDB"))?;
        if rest.contains('#') {
            return Err(wrong("it holds a #, which must be percent-encoded"));
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if host.contains(',') {
            let what =
                "it names several hosts, and a check asks one server; write a check for each";
            return Err(wrong(what));
        }
        let endpoint = Endpoint::parse_or(host, PORT)
            .map_err(|_| wrong("its host or port is none, or what precedes it is not encoded"))?;
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let database = decoded(path.strip_prefix('/').unwrap_or_default())?;
        let options = Options::read(query)?;
        let login = options.login(user, database)?;
        Ok(Self { endpoint, login, tls: options.tls, set: options.set, app: options.app })
    }
}

impl Options {
    fn read(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| wrong("an option has no value"))?;
            options.take(&name.to_ascii_lowercase(), decoded(value)?)?;
        }
        Ok(options)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "authsource" => put(&mut self.source, "authSource", value),
            "authmechanism" => put(&mut self.mechanism, "authMechanism", value),
            "replicaset" => put(&mut self.set, "replicaSet", value),
            "appname" if value.len() > LONGEST_APP => {
                Err(wrong("appName is longer than the 128 bytes that servers take"))
            }
            "appname" => put(&mut self.app, "appName", value),
            "tls" | "ssl" => {
                let wanted =
                    switch(&value).ok_or_else(|| wrong("tls is neither true nor false"))?;
                match self.tls.replace(wanted) {
                    Some(other) if other != wanted => Err(wrong("tls is given twice")),
                    _ => Ok(()),
                }
            }
            "directconnection" => match switch(&value) {
                Some(true) => Ok(()),
                _ => Err(wrong("a check asks one server: directConnection can only be true")),
            },
            "tlscafile"
            | "tlscertificatekeyfile"
            | "tlscertificatekeyfilepassword"
            | "tlsinsecure"
            | "tlsallowinvalidcertificates"
            | "tlsallowinvalidhostnames"
            | "tlsdisableocspendpointcheck"
            | "tlsdisablecertificaterevocationcheck" => {
                Err("how TLS is spoken is said by the table `tls` beside the URL; right is \
                     tls = { ca = \"…\", cert = \"…\", key = \"…\" }"
                    .to_owned())
            }
            name if WITHOUT_EFFECT.contains(&name) => Ok(()),
            _ => Err(wrong(
                "it holds an option that a check does not know, or a ? that is not encoded; known \
                 are appName, authMechanism, authSource, directConnection, replicaSet and tls, and \
                 those of pools, reads and writes are passed over",
            )),
        }
    }

    fn login(&self, user: Option<&str>, database: String) -> Result<Option<Login>, String> {
        let Some(user) = user else {
            return match (&self.source, &self.mechanism) {
                (None, None) => Ok(None),
                _ => Err(wrong("authSource and authMechanism need a user and a password")),
            };
        };
        let (user, password) =
            user.split_once(':').ok_or_else(|| wrong("a user needs a password"))?;
        if user.contains('@') || password.contains([':', '@']) {
            return Err(wrong("special characters of a password must be percent-encoded"));
        }
        let (user, password) = (decoded(user)?, decoded(password)?);
        if user.is_empty() || password.is_empty() {
            return Err(wrong("the user or the password is empty"));
        }
        if self.mechanism.as_deref().is_some_and(|name| name != "SCRAM-SHA-256") {
            return Err(wrong("authMechanism can only be SCRAM-SHA-256, which is the default"));
        }
        let password = stringprep::saslprep(&password).map_err(|_| {
            wrong("the password holds a character that SASLprep (RFC 4013) forbids")
        })?;
        let database = Some(database).filter(|database| !database.is_empty());
        let source = self.source.clone().or(database).unwrap_or_else(|| "admin".to_owned());
        Ok(Some(Login { user, password: Secret::new(password), source }))
    }
}

fn put(option: &mut Option<String>, name: &str, value: String) -> Result<(), String> {
    if value.is_empty() {
        return Err(wrong(&format!("{name} is empty")));
    }
    match option.replace(value) {
        Some(_) => Err(wrong(&format!("{name} is given twice"))),
        None => Ok(()),
    }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(String::from).map_err(|_| wrong("what is percent-encoded is no UTF-8"))
}

fn wrong(what: &str) -> String {
    format!("{what}; right is {FORM}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(url: &str) -> Result<Location, String> {
        Location::read(&Secret::new(url))
    }

    #[test]
    fn a_url_may_leave_out_all_but_the_host() {
        for url in ["mongodb://db", "mongodb://db/", "mongodb://db:27017/?", "mongodb://db?"] {
            let short = read(url).expect(url);
            assert_eq!(short.endpoint.to_string(), "db:27017", "{url}");
            assert!(short.login.is_none() && short.tls.is_none() && short.set.is_none());
        }
        let url = "mongodb://app:p%40ss@[::1]:1/orders?TLS=true&replicaSet=rs0&appName=a%20b&w=1";
        let long = read(url).expect("a URL");
        assert_eq!(long.endpoint.to_string(), "[::1]:1");
        assert_eq!((long.tls, long.set.as_deref()), (Some(true), Some("rs0")));
        assert_eq!(long.app.as_deref(), Some("a b"));
        let login = long.login.expect("a login");
        assert_eq!((&*login.user, login.password.expose()), ("app", "p@ss"));
        assert_eq!(login.source, "orders");
    }

    #[test]
    fn a_user_is_known_to_the_source_the_database_or_admin() {
        for (tail, source) in
            [("", "admin"), ("/orders", "orders"), ("/orders?authSource=users", "users")]
        {
            let login = read(&format!("mongodb://a:b@db{tail}")).expect(tail).login;
            assert_eq!(login.expect("a login").source, source);
        }
    }

    #[test]
    fn passwords_are_prepared_and_names_are_not() {
        // A soft hyphen vanishes, and a ligature is taken apart (RFC 4013, section 3).
        let login = read("mongodb://I%C2%ADX:I%C2%ADX%EF%AC%81@db").expect("a URL").login;
        let login = login.expect("a login");
        assert_eq!((&*login.user, login.password.expose()), ("I\u{ad}X", "IXfi"));
    }

    #[test]
    fn a_wrong_url_is_told_without_any_of_it() {
        for (url, what) in [
            ("hunter2", "not a URL of MongoDB"),
            ("http://u:hunter2@db", "not a URL of MongoDB"),
            ("mongodb+srv://u:hunter2@db", "a mongodb+srv URL stands for servers"),
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
