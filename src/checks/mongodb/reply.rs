//! Reads the reply to `hello`, and maps the server's errors to reasons.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::Reason;

use super::bson::Document;

/// A command that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Hello,
    /// What servers older than `hello` know in its place.
    IsMaster,
    SaslStart,
    SaslContinue,
    Authenticate,
    Ping,
}

impl Command {
    /// The command's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::IsMaster => "isMaster",
            Self::SaslStart => "saslStart",
            Self::SaslContinue => "saslContinue",
            Self::Authenticate => "authenticate",
            Self::Ping => "ping",
        }
    }
}

/// The code of an error about a command that the server does not know.
pub(super) const COMMAND_NOT_FOUND: i32 = 59;

/// An error that a server replied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandError {
    pub(super) code: Option<i32>,
    /// The code's name and the text that explains it.
    pub(super) text: String,
}

impl CommandError {
    /// The error that `reply` is, if it is one.
    ///
    /// # Errors
    /// When the reply does not say whether it is one.
    pub(super) fn of(reply: &Document) -> Result<Option<Self>, super::bson::Malformed> {
        match reply.number("ok") {
            None => Err(super::bson::Malformed),
            Some(ok) if ok != 0.0 => Ok(None),
            Some(_) => {
                let texts = ["codeName", "errmsg"].map(|key| reply.text(key));
                let text = texts.into_iter().flatten().collect::<Vec<_>>().join(": ");
                Ok(Some(Self { code: reply.number("code").and_then(integer), text }))
            }
        }
    }

    /// The reason that this answer to `command` stands for; the codes are those of MongoDB's list of
    /// error codes.
    pub(super) const fn reason(&self, command: Command) -> Reason {
        match (self.code, command) {
            // Shutting down, stepping down, starting up, or no member of a set that serves.
            (Some(91 | 94 | 189 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436), _) => {
                Reason::NotServing
            }
            // Unauthorized, AuthenticationFailed.
            (Some(13 | 18), _)
            | (_, Command::SaslStart | Command::SaslContinue | Command::Authenticate) => {
                Reason::AuthFailed
            }
            _ => Reason::QueryFailed,
        }
    }
}

/// `number` where it is an integer of 32 bits.
pub(super) fn integer(number: f64) -> Option<i32> {
    let within = f64::from(i32::MIN)..=f64::from(i32::MAX);
    #[allow(clippy::cast_possible_truncation, reason = "the fraction is none and it fits")]
    (number.fract() == 0.0 && within.contains(&number)).then_some(number as i32)
}

/// The expected role in replication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MongodbRole")]
pub(super) enum Role {
    /// Primary, secondary or arbiter of its replica set, a server without a replica set, or a
    /// `mongos`.
    #[default]
    Any,
    /// It accepts writes: a primary, a `mongos` or a server without a replica set.
    Primary,
    /// It follows a primary.
    Secondary,
}

/// The role of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Primary,
    Secondary,
    Arbiter,
    /// `mongos`, before a cluster of shards.
    Router,
    /// A member of no set.
    Standalone,
    /// A member of a set that is none of the above, such as one that recovers or starts.
    Unready,
    /// One that was meant for a set that was never initiated.
    Uninitiated,
}

impl Member {
    /// What a server is that answered `hello` to `command`; `None` when it does not say.
    pub(super) fn of(command: Command, hello: &Document) -> Option<Self> {
        // By the specification of Server Discovery and Monitoring, type by type.
        let key = if command == Command::IsMaster { "ismaster" } else { "isWritablePrimary" };
        let writable = hello.get(key).map(|_| hello.says(key))?;
        let in_set = hello.text("setName").is_some();
        Some(if hello.text("msg") == Some("isdbgrid") {
            Self::Router
        } else if hello.says("isreplicaset") {
            Self::Uninitiated
        } else if in_set && writable {
            Self::Primary
        } else if in_set && hello.says("secondary") {
            Self::Secondary
        } else if in_set && hello.says("arbiterOnly") {
            Self::Arbiter
        } else if writable {
            Self::Standalone
        } else {
            Self::Unready
        })
    }

    /// Whether it accepts writes.
    pub(super) const fn takes_writes(self) -> bool {
        matches!(self, Self::Primary | Self::Router | Self::Standalone)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "a primary",
            Self::Secondary => "a secondary",
            Self::Arbiter => "an arbiter",
            Self::Router => "a mongos",
            Self::Standalone => "a member of no replica set",
            Self::Unready => "neither primary nor secondary nor arbiter of its replica set",
            Self::Uninitiated => "a member of a replica set that is not initiated",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::bson::Writer;
    use super::*;

    fn document(fields: &[&'static str]) -> Document {
        let fields = fields.iter().fold(Writer::new(), |writer, field| match *field {
            "set" => writer.text("setName", "rs0"),
            "not writable" => writer.flag("isWritablePrimary", false),
            "router" => writer.text("msg", "isdbgrid"),
            field => writer.flag(field, true),
        });
        Document::parse(fields.finish()).expect("a document")
    }

    #[test]
    fn a_server_is_what_its_hello_says() {
        for (fields, member) in [
            (&["isWritablePrimary", "set"][..], Some(Member::Primary)),
            (&["not writable", "secondary", "set"], Some(Member::Secondary)),
            (&["not writable", "arbiterOnly", "set"], Some(Member::Arbiter)),
            (&["not writable", "set"], Some(Member::Unready)),
            (&["not writable", "isreplicaset"], Some(Member::Uninitiated)),
            (&["isWritablePrimary", "router"], Some(Member::Router)),
            (&["isWritablePrimary"], Some(Member::Standalone)),
            (&["not writable", "secondary"], Some(Member::Unready)),
            (&["ismaster"], None),
        ] {
            assert_eq!(Member::of(Command::Hello, &document(fields)), member, "{fields:?}");
        }
    }

    #[test]
    fn an_older_server_answers_by_another_name() {
        let of = |fields| Member::of(Command::IsMaster, &document(fields));
        assert_eq!(of(&["ismaster", "set"]), Some(Member::Primary));
        assert_eq!(of(&["ismaster", "router"]), Some(Member::Router));
        assert_eq!(of(&["isWritablePrimary"]), None);
    }

    fn refused(code: i32) -> CommandError {
        let reply = Writer::new().int32("ok", 0).int32("code", code).text("errmsg", "no");
        let reply = Document::parse(reply.finish()).expect("a document");
        CommandError::of(&reply).expect("it tells").expect("an error")
    }

    #[test]
    fn codes_have_their_reasons() {
        for (code, command, reason) in [
            (18, Command::SaslContinue, Reason::AuthFailed),
            (13, Command::Ping, Reason::AuthFailed),
            // MechanismUnavailable.
            (334, Command::SaslStart, Reason::AuthFailed),
            (11, Command::Authenticate, Reason::AuthFailed),
            (91, Command::SaslStart, Reason::NotServing),
            (11600, Command::Ping, Reason::NotServing),
            (13436, Command::Hello, Reason::NotServing),
            (59, Command::Hello, Reason::QueryFailed),
        ] {
            assert_eq!(refused(code).reason(command), reason, "{code} {command:?}");
        }
    }

    #[test]
    fn a_reply_that_does_not_say_whether_it_is_an_error_is_none() {
        assert!(CommandError::of(&document(&["isWritablePrimary"])).is_err());
        assert_eq!(CommandError::of(&document(&["ok"])), Ok(None));
    }

    #[test]
    fn only_whole_numbers_that_fit_are_integers() {
        assert_eq!(integer(18.0), Some(18));
        for number in [0.5, 1e10, -1e10, f64::NAN, f64::INFINITY] {
            assert_eq!(integer(number), None, "{number}");
        }
    }
}
