//! The errors that a server answers, and the reasons that they stand for.

use crate::model::Reason;

/// The beginning of the text that refuses a client because there are too many.
pub(super) const TOO_MANY_CLIENTS: &str = "max number of clients";

/// The reason that the code of an error stands for; `None` when it depends on the command.
pub(super) fn reason_of_code(code: &str) -> Option<Reason> {
    Some(match code {
        // DENIED: without a password, only clients on the same host are let in.
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Reason::AuthFailed,
        "LOADING" | "MASTERDOWN" | "BUSY" | "MISCONF" | "CLUSTERDOWN" => Reason::NotServing,
        "OOM" => Reason::Overloaded,
        _ => return None,
    })
}

/// The text of an error.
#[cfg(feature = "redis")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorReply(pub(super) String);

#[cfg(feature = "redis")]
impl ErrorReply {
    /// The code: the first word, if it is in capitals.
    pub(super) fn code(&self) -> Option<&str> {
        let code = self.0.split(' ').next().unwrap_or_default();
        let is_code = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        (!code.is_empty() && code.len() <= 32 && code.bytes().all(is_code)).then_some(code)
    }

    /// The reason that it stands for in answer to `command`.
    pub(super) fn reason(&self, command: &str) -> Reason {
        let text = self.0.strip_prefix("ERR ").unwrap_or(&self.0);
        match reason_of_code(self.code().unwrap_or_default()) {
            Some(reason) => reason,
            None if text.starts_with(TOO_MANY_CLIENTS) => Reason::Overloaded,
            None if command == "AUTH" => Reason::AuthFailed,
            None => Reason::QueryFailed,
        }
    }

    /// Whether it refuses the number of a command's arguments, as a server older than Redis 6 does
    /// with a user name.
    pub(super) fn counts_arguments(&self) -> bool {
        self.0.to_ascii_lowercase().contains("number of arguments")
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_reason_by_code_text_and_command() {
        for (text, command, reason) in [
            ("NOAUTH Authentication required.", "PING", Reason::AuthFailed),
            ("NOPERM this user has no permissions", "INFO", Reason::AuthFailed),
            ("LOADING Redis is loading the dataset in memory", "PING", Reason::NotServing),
            ("ERR max number of clients reached", "PING", Reason::Overloaded),
            ("ERR max number of clients + cluster connections reached", "PING", Reason::Overloaded),
            ("max number of clients reached", "PING", Reason::Overloaded),
            ("ERR invalid password", "AUTH", Reason::AuthFailed),
            ("ERR DB index is out of range", "SELECT", Reason::QueryFailed),
            ("unknown command", "PING", Reason::QueryFailed),
        ] {
            assert_eq!(ErrorReply(text.to_owned()).reason(command), reason, "{text}");
        }
        assert_eq!(ErrorReply("no code".to_owned()).code(), None);
    }

    #[test]
    fn old_servers_and_proxies_count_the_arguments_of_a_login() {
        for text in [
            "ERR wrong number of arguments for 'auth' command",
            "ERR wrong number of arguments for AUTH command",
            "ERR invalid number of arguments",
        ] {
            assert!(ErrorReply(text.to_owned()).counts_arguments(), "{text}");
        }
        assert!(!ErrorReply("WRONGPASS invalid username".to_owned()).counts_arguments());
    }
}
