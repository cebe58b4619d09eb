//! The options of the `kafka` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Count, KindOptions, OptionError, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    NOT_AFTER, Schemes, ServerUrl, UNUSED_NOT_AFTER, UrlForm, WARN_BEFORE, tls_client,
};

use super::Kafka;
use super::expect::{BROKERS, Expect, UNDER_REPLICATED};
use super::login::{Login, Sasl};

/// Connects to one broker, logs in, and requests the metadata of its cluster and of a topic. It
/// creates no topic.
///
/// The run fails with `not_serving` if the broker knows no broker of its cluster, or if the topic
/// does not exist, has no partition, or has a partition without a leader. Replicas out of sync, and
/// a cluster without a controller, make the run a warning. It uses protocol versions that Kafka 1.0
/// to 4 support. It was tested against the broker Tansu; logins and faults of topics only against
/// scripted peers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaOptions {
    /// Address of the broker: `kafka://user:password@host:9092`, or `kafkas://` with TLS. Port and
    /// credentials are optional; special characters must be percent-encoded. One check connects to
    /// one broker.
    url: Secret,
    /// How to log in: `"plain"`, `"scram-sha-256"` or `"scram-sha-512"` with the credentials in the
    /// URL, or `"oauthbearer"`, which needs `token`. Default `"plain"` if the URL has credentials;
    /// it sends the password in plain text.
    sasl: Option<Sasl>,
    /// The token for `"oauthbearer"`, such as `{ file = "token" }`. It is sent unchanged and not
    /// renewed by vitalsign: whatever renews it must write the file.
    token: Option<Secret>,
    /// A topic that must exist, with a leader for each partition.
    topic: Option<String>,
    /// Lowest number of brokers that must be alive in the cluster; with fewer the run fails with
    /// `out_of_range`.
    min_brokers: Option<Count>,
    /// Options of TLS for a `kafkas` URL.
    tls: Option<Tls>,
}

const FORM: UrlForm = UrlForm {
    schemes: &[Schemes { plain: ("kafka", 9092), secure: ("kafkas", 9092) }],
    example: "kafka://user:password@host:9092",
};

/// Most characters of a topic's name, as Kafka has it.
const LONGEST: usize = 249;

/// Most bytes of a user and of a password.
const LONGEST_LOGIN: usize = 4096;

/// Most bytes of a token; one that lists many groups takes a few kilobytes.
const LONGEST_TOKEN: usize = 64 * 1024;

impl KindOptions for KafkaOptions {
    const NAME: &'static str = "kafka";
    const SUMMARY: &'static str = "log in, metadata; leaders and replicas of a topic";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&BROKERS, &UNDER_REPLICATED, &NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl KafkaOptions {
    /// Builds the check from valid options.
    pub(super) fn make(self) -> Result<Kafka, Vec<OptionError>> {
        let mut errors = Vec::new();
        let server = ServerUrl::parse_without_path(&self.url, &FORM)
            .map_err(|text| errors.push(OptionError::new("url", text)));
        let login = match &server {
            Ok(server) => {
                login(server, self.sasl, self.token.as_ref()).map_err(|error| errors.push(error))
            }
            Err(()) => Err(()),
        };
        if self.topic.as_deref().is_some_and(|topic| !is_topic(topic)) {
            let text = "this is no topic's name; write up to 249 letters, digits, `.`, `_` and `-`";
            errors.push(OptionError::new("topic", text));
        }
        let tls = tls_client(server.as_ref().ok(), self.tls).map_err(|wrong| errors.extend(wrong));
        let (Ok(server), Ok(login), Ok(tls), []) = (server, login, tls, errors.as_slice()) else {
            return Err(errors);
        };
        let min_brokers = self.min_brokers.map(|Count(fewest)| fewest);
        Ok(Kafka {
            redaction: Redaction::of(login.iter().map(|login| login.secret.expose().to_owned())),
            endpoint: server.endpoint,
            tls,
            login,
            expect: Expect { topic: self.topic, min_brokers },
        })
    }
}

/// The credentials: a token, or those of the URL.
fn login(
    server: &ServerUrl,
    sasl: Option<Sasl>,
    token: Option<&Secret>,
) -> Result<Option<Login>, OptionError> {
    match (sasl, token) {
        (Some(Sasl::OauthBearer), Some(token)) => by_token(server, token).map(Some),
        (Some(Sasl::OauthBearer), None) => {
            Err(OptionError::new("sasl", "no token is there to log in by; add `token`"))
        }
        (_, Some(_)) => {
            let text = "only one way of logging in sends it; write sasl = \"oauthbearer\"";
            Err(OptionError::new("token", text))
        }
        (_, None) => by_password(server, sasl),
    }
}

/// A login with a token, whose characters RFC 6750 must allow.
fn by_token(server: &ServerUrl, token: &Secret) -> Result<Login, OptionError> {
    if !server.user.is_empty() || server.password.is_some() {
        let text = "the URL names another login; leave the user and the password out of it";
        return Err(OptionError::new("token", text));
    }
    let text = token.expose().trim();
    let is_known = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if text.is_empty() || !text.bytes().all(is_known) || text.len() > LONGEST_TOKEN {
        let text = "this is no token; write one of letters, digits and -._~+/=, up to 64 KiB";
        return Err(OptionError::new("token", text));
    }
    Ok(Login { sasl: Sasl::OauthBearer, user: String::new(), secret: Secret::new(text) })
}

fn by_password(server: &ServerUrl, sasl: Option<Sasl>) -> Result<Option<Login>, OptionError> {
    let wrong = |what: &str| {
        let text = format!("{what}; right is {}", FORM.example);
        Err(OptionError::new("url", text))
    };
    let (user, password) = match (server.user.as_str(), &server.password) {
        ("", None) if sasl.is_some() => {
            let text = format!("nobody is there to log in; write {} as `url`", FORM.example);
            return Err(OptionError::new("sasl", text));
        }
        ("", None) => return Ok(None),
        ("", Some(_)) => return wrong("it holds a password and no user"),
        (_, None) => return wrong("it holds a user and no password"),
        (user, Some(password)) => (user, password),
    };
    if user.contains('\0') || password.expose().contains('\0') {
        return wrong("its user or password holds a NUL");
    }
    if user.len().max(password.expose().len()) > LONGEST_LOGIN {
        return wrong("its user or password is longer than 4096 bytes");
    }
    let sasl = sasl.unwrap_or_default();
    Ok(Some(Login { sasl, user: user.to_owned(), secret: password.clone() }))
}

/// Whether Kafka may have a topic of this name.
fn is_topic(name: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(is_known)
        && ![".", ".."].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_named_as_kafka_has_it() {
        let longest = "a".repeat(249);
        for name in ["orders", "a.B_c-1", "...", &longest] {
            assert!(is_topic(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "é", "a/b", &format!("{longest}a")] {
            assert!(!is_topic(name), "{name}");
        }
    }

    #[test]
    fn a_token_is_the_only_login_and_no_other_sends_it() {
        let of = |url: &str, sasl, token: Option<&str>| {
            let server = ServerUrl::parse_without_path(&Secret::new(url), &FORM).expect(url);
            let token = token.map(Secret::new);
            login(&server, sasl, token.as_ref())
                .map_err(|error| format!("{}: {}", error.path, error.message))
        };
        let oauth = Some(Sasl::OauthBearer);
        let right = of("kafkas://broker", oauth, Some("eyJ.a-b_c~+/==\n")).ok().flatten();
        assert_eq!(right.expect("a login").secret.expose(), "eyJ.a-b_c~+/==");
        let [empty, spaced] = [Some(""), Some("hunter2 hunter2")];
        for (url, sasl, token, wanted) in [
            ("kafka://broker", oauth, None, "sasl: no token is there"),
            ("kafka://broker", oauth, empty, "token: this is no token"),
            ("kafka://broker", oauth, spaced, "token: this is no token"),
            ("kafka://broker", None, Some("hunter2"), "token: only one way"),
            ("kafka://a:b@broker", Some(Sasl::Plain), Some("hunter2"), "token: only one way"),
            ("kafka://a:b@broker", oauth, Some("hunter2"), "token: the URL names another"),
        ] {
            let error = of(url, sasl, token).err().expect(url);
            assert!(error.starts_with(wanted) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_login_needs_both_a_user_and_a_password() {
        let of = |url: &str, sasl| {
            let server = ServerUrl::parse_without_path(&Secret::new(url), &FORM).expect(url);
            login(&server, sasl, None).map_err(|error| format!("{}: {}", error.path, error.message))
        };
        assert!(matches!(of("kafka://broker", None), Ok(None)));
        let plain = of("kafka://a:b%40@broker", None).ok().flatten().expect("a login");
        assert!(plain.sasl == Sasl::Plain && plain.user == "a" && plain.secret.expose() == "b@");
        let scram = of("kafka://a:b@broker", Some(Sasl::ScramSha512)).ok().flatten();
        assert_eq!(scram.map(|login| login.sasl), Some(Sasl::ScramSha512));
        for (url, sasl, wanted) in [
            ("kafka://broker", Some(Sasl::Plain), "sasl: nobody is there to log in;"),
            ("kafka://hunter2@broker", None, "url: it holds a user and no password;"),
            ("kafka://:hunter2@broker", None, "url: it holds a password and no user;"),
            ("kafka://a:hunter2%00@broker", None, "url: its user or password holds a NUL;"),
            ("kafka://a%00:hunter2@broker", None, "url: its user or password holds a NUL;"),
        ] {
            let error = of(url, sasl).err().expect(url);
            assert!(error.starts_with(wanted) && !error.contains("hunter2"), "{error}");
        }
    }
}
