//! The replies of SMTP (RFC 5321, section 4.2), and what those that refuse stand for.

use std::fmt;

use tokio::io::AsyncRead;

use crate::model::Reason;
use crate::net::{Lines, Unread};

/// What is being done when a server replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was connected to.
    Greeting,
    /// It was told who asks.
    Ehlo,
    /// It was asked for TLS.
    Starttls,
    /// It was sent credentials.
    Auth,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the connection",
            Self::Ehlo => "EHLO",
            Self::Starttls => "STARTTLS",
            Self::Auth => "AUTH PLAIN",
        })
    }
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The text of each line.
    pub(super) lines: Vec<String>,
}

/// Why no reply could be read.
#[derive(Debug)]
pub(super) enum NoReply {
    /// Nothing could be read.
    Unread(Unread),
    /// It is in another protocol.
    Malformed,
}

impl Reply {
    /// Reads a reply to its last line.
    pub(super) async fn read(
        lines: &mut Lines,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<Self, NoReply> {
        let mut reply: Option<Self> = None;
        loop {
            let line = lines.next(from).await.map_err(NoReply::Unread)?;
            let (code, last, text) = parse(&line).ok_or(NoReply::Malformed)?;
            let reply = reply.get_or_insert_with(|| Self { code, lines: Vec::new() });
            if reply.code != code {
                return Err(NoReply::Malformed);
            }
            reply.lines.push(text.to_owned());
            if last {
                return Ok(Self { code, lines: std::mem::take(&mut reply.lines) });
            }
        }
    }

    /// What follows `keyword` in the reply to `EHLO`, where the server announces it.
    pub(super) fn announced(&self, keyword: &str) -> Option<&str> {
        // The first line is the server's name.
        self.lines.iter().skip(1).find_map(|line| {
            // Old servers write `AUTH=PLAIN`.
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }

    /// What refusing `step` in this way stands for.
    pub(super) fn reason(&self, step: Step) -> Reason {
        let text = self.lines.join(" ").to_ascii_lowercase();
        let full = text.contains("too many") || text.contains("maximum number of");
        match (self.code, step) {
            (421 | 450..=452 | 554, _) if full => Reason::Overloaded,
            (421, _) | (_, Step::Greeting) => Reason::NotServing,
            (_, Step::Starttls) => Reason::TlsFailed,
            (432 | 500.., Step::Auth) | (530 | 535, Step::Ehlo) => Reason::AuthFailed,
            (400..500, _) => Reason::NotServing,
            _ => Reason::UnexpectedStatus,
        }
    }
}

/// Code, whether it is the last line of its reply, and text.
fn parse(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    let digits = code.bytes().all(|b| b.is_ascii_digit());
    let code = code.parse().ok().filter(|code| digits && (200..600).contains(code))?;
    match rest.as_bytes().first() {
        None => Some((code, true, "")),
        Some(b' ') => Some((code, true, &rest[1..])),
        Some(b'-') => Some((code, false, &rest[1..])),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(text: &str) -> Result<Reply, NoReply> {
        Reply::read(&mut Lines::default(), &mut text.as_bytes()).await
    }

    #[tokio::test]
    async fn a_reply_ends_with_the_line_that_has_no_dash() {
        let reply = read("250-mail\r\n250-auth LOGIN PLAIN\r\n250 STARTTLS\r\n220 next").await;
        let reply = reply.expect("a reply");
        assert_eq!(reply.code, 250);
        assert_eq!(reply.announced("AUTH"), Some("LOGIN PLAIN"));
        assert_eq!(reply.announced("STARTTLS"), Some(""));
        // The name of the server announces nothing.
        assert_eq!(reply.announced("mail"), None);
        assert_eq!(read("250\r\n").await.expect("a reply").lines, [""]);
    }

    #[tokio::test]
    async fn what_is_no_reply_is_told() {
        for text in [
            "HTTP/1.1 400 Bad\r\n",
            "25\r\n",
            "250x\r\n",
            "199 a\r\n",
            "250-a\r\n220 b\r\n",
            "é50 \r\n",
        ] {
            assert!(matches!(read(text).await, Err(NoReply::Malformed)), "{text}");
        }
        assert!(matches!(read("250-a\r\n").await, Err(NoReply::Unread(Unread::Ended))));
    }

    #[test]
    fn refusals_have_their_reasons() {
        for (code, text, step, expected) in [
            (421, "4.3.2 shutting down", Step::Greeting, Reason::NotServing),
            (421, "4.7.0 too many connections from you", Step::Greeting, Reason::Overloaded),
            (421, "The maximum number of concurrent connections", Step::Ehlo, Reason::Overloaded),
            (554, "no SMTP service here", Step::Greeting, Reason::NotServing),
            (421, "idle", Step::Auth, Reason::NotServing),
            (454, "TLS not available", Step::Starttls, Reason::TlsFailed),
            (454, "temporary failure", Step::Auth, Reason::NotServing),
            (535, "wrong", Step::Auth, Reason::AuthFailed),
            (432, "transition needed", Step::Auth, Reason::AuthFailed),
            (550, "who are you", Step::Ehlo, Reason::UnexpectedStatus),
            (451, "try later", Step::Ehlo, Reason::NotServing),
        ] {
            let reply = Reply { code, lines: vec![text.to_owned()] };
            assert_eq!(reply.reason(step), expected, "{code} {text} {step}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC{0,8}") {
            if let Some((code, _, _)) = parse(&line) {
                prop_assert!((200..600).contains(&code));
            }
        }
    }
}
