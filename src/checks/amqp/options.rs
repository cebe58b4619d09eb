//! The options of the `amqp` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Count, KindOptions, OptionError, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    NOT_AFTER, Schemes, ServerUrl, UNUSED_NOT_AFTER, UrlForm, WARN_BEFORE, tls_client,
};

use super::Amqp;
use super::queue::{CONSUMERS, ExpectedQueue, MESSAGES};

/// Connects to an AMQP 0-9-1 broker, such as RabbitMQ, logs in and opens a virtual host. Optionally
/// checks a queue, without creating it.
///
/// The run fails with `not_serving` if the virtual host or queue does not exist or is down, with
/// `auth_failed` if the user has no access to it, and with `overloaded` if the limit of connections
/// or channels is reached. An exclusive queue of another connection fails it with `not_serving`. If
/// the broker reports that it accepts no messages, the run is a warning; RabbitMQ reports this only
/// to publishers. AMQP 1.0 is not supported.
///
/// RabbitMQ reports 0 messages and 0 consumers for a quorum queue without a leader, for example
/// after the loss of its majority. Two zeros are therefore confirmed by `basic.get`, which removes
/// nothing from an empty queue: without an answer the run fails with `not_serving`; if the user may
/// not read the queue, the run is a warning. A lost majority is not noticed while the leader lives
/// or messages wait. For a stream, RabbitMQ reports all retained messages and always 0 consumers:
/// with `max_messages` or `min_consumers` a stream makes the run a warning; do not set them for a
/// stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmqpOptions {
    /// Address of the broker: `amqp://user:password@host:5672/vhost`, or `amqps://` (port 5671)
    /// with TLS. Everything except the host is optional: the default virtual host is `/`, the
    /// default user and password are `guest`. Special characters must be percent-encoded, a `/` in
    /// a virtual host as `%2F`. With `tls.cert` and no user in the URL, the client certificate is
    /// used for the login (`EXTERNAL`).
    url: Secret,
    /// A queue that must exist.
    queue: Option<String>,
    /// Highest number of messages that may wait in the queue; with more the run fails with
    /// `out_of_range`. 0 or more; needs `queue`.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    max_messages: Option<i64>,
    /// Lowest number of consumers that the queue must have; with fewer the run fails with
    /// `out_of_range`. Needs `queue`.
    min_consumers: Option<Count>,
    /// Options of TLS for an `amqps` URL.
    tls: Option<Tls>,
}

const FORM: UrlForm = UrlForm {
    schemes: &[Schemes { plain: ("amqp", 5672), secure: ("amqps", 5671) }],
    example: "amqp://user:password@host:5672/vhost",
};

/// Most bytes of a name in the protocol.
const LONGEST: usize = 255;

/// Most bytes of a user and a password: an answer must fit the smallest frame, 4096.
const LONGEST_LOGIN: usize = 2048;

/// Default user of a URL without one, as in other clients.
const GUEST: &str = "guest";

impl KindOptions for AmqpOptions {
    const NAME: &'static str = "amqp";
    const SUMMARY: &'static str = "log in, open a virtual host; messages and consumers of a queue";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&CONSUMERS, &MESSAGES, &NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl AmqpOptions {
    /// Builds the check from valid options.
    pub(super) fn make(self) -> Result<Amqp, Vec<OptionError>> {
        let mut errors = Vec::new();
        let has_certificate =
            matches!(&self.tls, Some(Tls(Some(options))) if options.cert.is_some());
        let asked = ServerUrl::parse(&self.url, &FORM)
            .and_then(|server| Login::of(&server, has_certificate).map(|l| (server, l)))
            .map_err(|text| errors.push(OptionError::new("url", text)));
        let queue = expected_queue(self.queue, self.max_messages, self.min_consumers)
            .map_err(|wrong| errors.extend(wrong));
        let tls = tls_client(asked.as_ref().ok().map(|(server, _)| server), self.tls)
            .map_err(|wrong| errors.extend(wrong));
        let (Ok((server, login)), Ok(queue), Ok(tls)) = (asked, queue, tls) else {
            return Err(errors);
        };
        Ok(Amqp {
            endpoint: server.endpoint,
            tls,
            mechanism: login.mechanism,
            redaction: login.redaction,
            response: login.response,
            virtual_host: login.virtual_host,
            queue,
        })
    }
}

/// Credentials and virtual host, in the form of the protocol.
struct Login {
    mechanism: &'static str,
    response: Secret,
    virtual_host: String,
    redaction: Redaction,
}

impl Login {
    /// Reads it from a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right, without any part of the URL.
    fn of(server: &ServerUrl, has_certificate: bool) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}; right is {}", FORM.example));
        let virtual_host = server.path.clone().filter(|path| !path.is_empty());
        let virtual_host = virtual_host.unwrap_or_else(|| "/".to_owned());
        if virtual_host.len() > LONGEST {
            return wrong("its virtual host is longer than 255 bytes");
        }
        let (user, password) = match (server.user.as_str(), &server.password) {
            ("", None) if has_certificate => {
                let response = Secret::new("");
                let redaction = Redaction::default();
                return Ok(Self { mechanism: "EXTERNAL", response, virtual_host, redaction });
            }
            ("", None) => (GUEST, GUEST),
            ("", Some(_)) => return wrong("it holds a password and no user"),
            (_, None) => return wrong("it holds a user and no password"),
            (user, Some(password)) => (user, password.expose()),
        };
        if user.contains('\0') || password.contains('\0') {
            return wrong("its user or password holds a NUL");
        }
        if user.len() + password.len() > LONGEST_LOGIN {
            return wrong("its user and password are longer than 2048 bytes");
        }
        // RFC 4616: an empty authorization identity, then user and password.
        let response = Secret::new(format!("\0{user}\0{password}"));
        let redaction = server.redaction();
        Ok(Self { mechanism: "PLAIN", response, virtual_host, redaction })
    }
}

fn expected_queue(
    queue: Option<String>,
    max_messages: Option<i64>,
    min_consumers: Option<Count>,
) -> Result<Option<ExpectedQueue>, Vec<OptionError>> {
    let Some(name) = queue else {
        let bounds =
            [("max_messages", max_messages.is_some()), ("min_consumers", min_consumers.is_some())];
        let wrong = bounds.iter().filter(|(_, given)| *given);
        let errors: Vec<_> = wrong
            .map(|(option, _)| OptionError::new(*option, "no queue is named; add `queue`"))
            .collect();
        return if errors.is_empty() { Ok(None) } else { Err(errors) };
    };
    // With an empty name, the protocol uses the queue that the channel declared last.
    if name.is_empty() || name.len() > LONGEST {
        let text = "this is no queue's name; write one of 1 to 255 bytes, such as \"orders\"";
        return Err(vec![OptionError::new("queue", text)]);
    }
    let max_messages = max_messages.map(u32::try_from).transpose().map_err(|_| {
        let text = "this is no number of messages; write a whole number from 0 to 4294967295";
        vec![OptionError::new("max_messages", text)]
    })?;
    let min_consumers = min_consumers.map(|Count(fewest)| fewest);
    Ok(Some(ExpectedQueue::new(name, max_messages, min_consumers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, has_certificate: bool) -> Result<Login, String> {
        let server = ServerUrl::parse(&Secret::new(url), &FORM).expect(url);
        Login::of(&server, has_certificate)
    }

    #[test]
    fn a_url_says_who_logs_in_and_where() {
        for (url, certificate, mechanism, response, host) in [
            ("amqp://broker", false, "PLAIN", "\0guest\0guest", "/"),
            ("amqp://broker/", true, "EXTERNAL", "", "/"),
            ("amqp://a%40:b%3A@broker/%2Forders", true, "PLAIN", "\0a@\0b:", "/orders"),
            ("amqps://a:b@broker/orders", false, "PLAIN", "\0a\0b", "orders"),
        ] {
            let login = of(url, certificate).expect(url);
            assert_eq!(login.mechanism, mechanism, "{url}");
            assert_eq!(login.response.expose(), response, "{url}");
            assert_eq!(login.virtual_host, host, "{url}");
        }
    }

    #[test]
    fn what_the_protocol_cannot_say_is_refused() {
        let long = "a".repeat(2048);
        for (url, what) in [
            ("amqp://hunter2@broker", "it holds a user and no"),
            ("amqp://:hunter2@broker", "it holds a password and no"),
            ("amqp://a:hunter2%00@broker", "its user or password holds a NUL"),
            ("amqp://a%00:hunter2@broker", "its user or password holds a NUL"),
            (&format!("amqp://a:hunter2{long}@broker"), "its user and password are longer"),
            (&format!("amqp://broker/hunter2{long}"), "its virtual host is longer"),
        ] {
            let error = of(url, false).err().expect(url);
            assert!(error.starts_with(what) && !error.contains("hunter2"), "{error}");
        }
    }
}
