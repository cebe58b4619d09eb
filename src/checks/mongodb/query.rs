//! Reads the options of a connection string, after its `?`, and the login that they describe.

use percent_encoding::percent_decode_str;

use crate::config::Secret;

use super::login::{Login, Mechanism, PasswordLogin};

/// An example of a valid URL, for messages.
const FORM: &str = "mongodb://user:password@host:27017/?authSource=admin&tls=true";

/// Longest name of an application, by the specification of the handshake.
pub(super) const LONGEST_APP: usize = 128;

/// Options of a driver about queries, pools and searching a set, which do not matter to one `ping`.
/// In lower case, as all are compared.
const WITHOUT_EFFECT: &str = "\
    compressors connecttimeoutms heartbeatfrequencyms journal localthresholdms maxconnecting \
    maxidletimems maxpoolsize maxstalenessseconds minpoolsize readconcernlevel \
    readpreference readpreferencetags retryreads retrywrites servermonitoringmode \
    serverselectiontimeoutms serverselectiontryonce sockettimeoutms srvmaxhosts timeoutms \
    uuidrepresentation w waitqueuemultiple waitqueuetimeoutms wtimeoutms \
    zlibcompressionlevel";

/// The options that have an effect, as far as they were given.
#[derive(Default)]
pub(super) struct Options {
    source: Option<String>,
    mechanism: Option<String>,
    pub(super) tls: Option<bool>,
    pub(super) set: Option<String>,
    pub(super) app: Option<String>,
    pub(super) service: Option<String>,
}

impl Options {
    /// Reads what follows the `?`.
    pub(super) fn read(query: &str) -> Result<Self, String> {
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
            "srvservicename" => put(&mut self.service, "srvServiceName", value),
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
            name if WITHOUT_EFFECT.split(' ').any(|known| known == name) => Ok(()),
            _ => Err(wrong(
                "it holds an option that a check does not know, or a ? that is not encoded; known \
                 are appName, authMechanism, authSource, directConnection, replicaSet and tls, and \
                 those of pools, reads and writes are passed over",
            )),
        }
    }

    /// The login of `user`, the part of the URL before the `@`, to the `database` of its path.
    pub(super) fn login(
        &self,
        user: Option<&str>,
        database: String,
    ) -> Result<Option<Login>, String> {
        let is_certificate = match self.mechanism.as_deref() {
            None | Some("SCRAM-SHA-1" | "SCRAM-SHA-256") => false,
            Some("MONGODB-X509") => true,
            Some(_) => {
                return Err(wrong(
                    "authMechanism can only be SCRAM-SHA-256, SCRAM-SHA-1 or MONGODB-X509",
                ));
            }
        };
        if is_certificate {
            return self.certificate(user).map(Some);
        }
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
        let mechanism = self.mechanism.as_deref().map(|name| match name {
            "SCRAM-SHA-1" => Mechanism::ScramSha1,
            _ => Mechanism::ScramSha256,
        });
        let prepared = stringprep::saslprep(&password).ok().map(Secret::new);
        if prepared.is_none() && mechanism != Some(Mechanism::ScramSha1) {
            return Err(wrong("the password holds a character that SASLprep (RFC 4013) forbids"));
        }
        Ok(Some(Login::Password(PasswordLogin {
            user,
            password: Secret::new(password),
            prepared,
            source: self.source.clone(),
            database: Some(database).filter(|database| !database.is_empty()),
            mechanism,
        })))
    }

    /// The login with a certificate; its users do not belong to a database of the server.
    fn certificate(&self, user: Option<&str>) -> Result<Login, String> {
        if self.source.as_deref().is_some_and(|source| source != "$external") {
            return Err(wrong("with MONGODB-X509, authSource can only be $external"));
        }
        let user = user.map(|user| match user.split_once(':') {
            Some((_, password)) if !password.is_empty() => {
                Err(wrong("MONGODB-X509 takes no password; the user is the certificate's"))
            }
            Some((user, _)) => decoded(user),
            None => decoded(user),
        });
        Ok(Login::Certificate(user.transpose()?.filter(|user| !user.is_empty())))
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

/// `text` without percent-encoding.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(String::from).map_err(|_| wrong("what is percent-encoded is no UTF-8"))
}

/// The message for a URL with this mistake.
pub(super) fn wrong(what: &str) -> String {
    format!("{what}; right is {FORM}")
}
