//! The credentials for a NATS server, and the command that sends them.

use serde_json::{Value, json};

use crate::config::{OptionError, Redaction, Secret};
use crate::net::ServerUrl;

use super::nkey::{UserKey, credentials};

/// Who logs in.
#[derive(Debug)]
pub(super) enum Login {
    Nobody,
    Token(Secret),
    User {
        name: String,
        password: Secret,
    },
    /// A user that the server knows by its public key.
    Key(UserKey),
    /// A user that an account vouches for by a JWT.
    Account {
        jwt: Secret,
        key: UserKey,
    },
}

/// The server sent nothing to sign, so it knows no clients by keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoNonce;

impl Login {
    /// Takes the login from the URL, or from the one option that holds it.
    ///
    /// # Errors
    /// What is wrong with an option, and what would be right.
    pub(super) fn new(
        url: Option<&ServerUrl>,
        nkey_seed: Option<&Secret>,
        file: Option<&Secret>,
    ) -> Result<Self, OptionError> {
        let in_url = url.is_some_and(|url| !url.user.is_empty() || url.password.is_some());
        let twice = |option| {
            let text = "there is another login beside it; keep one of URL, nkey_seed, credentials";
            Err(OptionError::new(option, text))
        };
        match (nkey_seed, file) {
            (Some(_), Some(_)) => twice("credentials"),
            (Some(_), None) if in_url => twice("nkey_seed"),
            (None, Some(_)) if in_url => twice("credentials"),
            (Some(seed), None) => {
                UserKey::from_seed(seed.expose()).map(Self::Key).ok_or_else(|| {
                    let text = "this is no seed of a user; right is one that begins with SU";
                    OptionError::new("nkey_seed", text)
                })
            }
            (None, Some(file)) => Self::account(file).ok_or_else(|| {
                let text = "this is not what a credentials file holds, a user's JWT and seed; \
                            write { file = \"user.creds\" }";
                OptionError::new("credentials", text)
            }),
            (None, None) => Ok(url.map_or(Self::Nobody, Self::in_url)),
        }
    }

    fn account(file: &Secret) -> Option<Self> {
        let (jwt, seed) = credentials(file.expose())?;
        Some(Self::Account { jwt: Secret::new(jwt), key: UserKey::from_seed(seed)? })
    }

    fn in_url(url: &ServerUrl) -> Self {
        match (url.user.as_str(), &url.password) {
            ("", None) => Self::Nobody,
            (token, None) => Self::Token(Secret::new(token)),
            (name, Some(password)) => {
                Self::User { name: name.to_owned(), password: password.clone() }
            }
        }
    }

    /// Hides what the server must not make public. A seed is never sent, so it is not among it.
    pub(super) fn redaction(&self) -> Redaction {
        let secret = match self {
            Self::Nobody | Self::Key(_) => None,
            Self::Token(secret)
            | Self::User { password: secret, .. }
            | Self::Account { jwt: secret, .. } => Some(secret.expose().to_owned()),
        };
        Redaction::of(secret)
    }

    /// `CONNECT` and `PING`, for a server that has sent `nonce` to be signed.
    pub(super) fn commands(&self, secure: bool, nonce: Option<&str>) -> Result<Secret, NoNonce> {
        let mut connect = json!({
            "verbose": false, "pedantic": false, "echo": false, "protocol": 1,
            "name": "vitalsign", "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
            "tls_required": secure,
        });
        let mut set = |name: &str, value: &str| connect[name] = Value::from(value);
        let signature = |key: &UserKey| nonce.map(|nonce| key.sign(nonce)).ok_or(NoNonce);
        match self {
            Self::Nobody => {}
            Self::Token(token) => set("auth_token", token.expose()),
            Self::User { name, password } => {
                set("user", name);
                set("pass", password.expose());
            }
            Self::Key(key) => {
                set("sig", &signature(key)?);
                set("nkey", &key.public());
            }
            Self::Account { jwt, key } => {
                set("sig", &signature(key)?);
                set("jwt", jwt.expose());
            }
        }
        Ok(Secret::new(format!("CONNECT {connect}\r\nPING\r\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::FORM;
    use super::*;

    fn sent(url: &str) -> String {
        let url = ServerUrl::parse_without_path(&Secret::new(url), &FORM).expect(url);
        let login = Login::new(Some(&url), None, None).expect("a login");
        login.commands(url.secure, Some("nonce")).expect("commands").expose().to_owned()
    }

    #[test]
    fn what_is_sent_holds_the_credentials_as_json() {
        let user = sent("nats://app:p%22ss%0d@broker");
        assert!(user.contains(r#""pass":"p\"ss\r""#) && user.contains(r#""user":"app""#), "{user}");
        assert!(user.starts_with("CONNECT {") && user.ends_with("}\r\nPING\r\n"), "{user}");
        let token = sent("nats://t0ken@broker");
        assert!(token.contains(r#""auth_token":"t0ken""#) && !token.contains("user"), "{token}");
        let nobody = sent("tls://broker");
        assert!(!nobody.contains("auth_token") && nobody.contains(r#""tls_required":true"#));
    }
}
