//! The replies of SMTP (RFC 5321, section 4.2), and the reasons that refusals stand for.

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net::Session;

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// The connection, before any command.
    Connect,
    /// `EHLO`, or `HELO`.
    Hello,
    Starttls,
    Auth,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::Hello => "EHLO",
            Self::Starttls => "STARTTLS",
            Self::Auth => "AUTH PLAIN",
        })
    }
}

/// Parts of texts by which servers turn a client away that is one too many.
const FULL: [&str; 6] =
    ["too many", "maximum number of", "busy", "overload", "load average", "insufficient system"];

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The text of each line.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Reads a reply to its last line.
    pub(super) async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        session: &mut Session<'_, S>,
    ) -> Result<Self, Failure> {
        let mut reply: Option<Self> = None;
        loop {
            let line = session.line().await?;
            let (code, last, text) = parse(&line).ok_or_else(|| session.unexpected())?;
            let reply = reply.get_or_insert_with(|| Self { code, lines: Vec::new() });
            if reply.code != code {
                return Err(session.unexpected());
            }
            reply.lines.push(text.to_owned());
            if last {
                return Ok(Self { code, lines: std::mem::take(&mut reply.lines) });
            }
        }
    }

    /// What follows `keyword` on each line of the reply to `EHLO` that holds it.
    fn offered(&self, keyword: &str) -> impl Iterator<Item = &str> {
        // The first line is the server's name.
        self.lines.iter().skip(1).filter_map(move |line| {
            // Some servers write `AUTH=PLAIN`, alone or beside `AUTH PLAIN`.
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }

    /// Whether the server offers the extension `keyword`.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        self.offered(keyword).next().is_some()
    }

    /// Whether the server offers to log in by `mechanism`, on any of its lines.
    pub(super) fn offers_mechanism(&self, mechanism: &str) -> bool {
        let mechanisms = self.offered("AUTH").flat_map(|text| text.split([' ', '=', '\t']));
        mechanisms.into_iter().any(|offered| offered.eq_ignore_ascii_case(mechanism))
    }

    /// The reply to `HELO`, which offers nothing, however many lines it has.
    pub(super) fn without_offers(mut self) -> Self {
        self.lines.truncate(1);
        self
    }

    /// The reason that this refusal of `command` stands for.
    pub(super) fn reason(&self, command: Command) -> Reason {
        let text = self.lines.join(" ").to_ascii_lowercase();
        let full = FULL.iter().any(|part| text.contains(part));
        match (self.code, command) {
            (421 | 450..=452 | 554, _) if full => Reason::Overloaded,
            (421, _) | (_, Command::Connect) => Reason::NotServing,
            (_, Command::Starttls) => Reason::TlsFailed,
            (432 | 500.., Command::Auth) | (530 | 535, Command::Hello) => Reason::AuthFailed,
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
    use tokio::io::AsyncWriteExt;

    use crate::net::Endpoint;

    use super::*;

    async fn read(text: &str) -> Result<Reply, Failure> {
        let endpoint = Endpoint::parse("mail:25").unwrap();
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(text.as_bytes()).await.unwrap();
        drop(theirs);
        Reply::read(&mut Session::new(&endpoint, "SMTP", ours)).await
    }

    #[tokio::test]
    async fn a_reply_ends_with_the_line_that_has_no_dash() {
        let reply = read("250-mail\r\n250-auth LOGIN PLAIN\r\n250 STARTTLS\r\n220 next").await;
        let reply = reply.expect("a reply");
        assert_eq!(reply.code, 250);
        assert!(reply.offers("AUTH") && reply.offers("STARTTLS"));
        // The name of the server offers nothing, and neither does a reply to HELO.
        assert!(!reply.offers("mail") && !reply.without_offers().offers("AUTH"));
        assert_eq!(read("250\r\n").await.expect("a reply").lines, [""]);
    }

    #[tokio::test]
    async fn all_lines_with_mechanisms_count() {
        for (lines, offers) in [
            ("250-AUTH=LOGIN\r\n250-AUTH LOGIN CRAM-MD5 PLAIN\r\n250 SIZE 1000", true),
            ("250-AUTH LOGIN\r\n250 AUTH PLAIN", true),
            ("250 AUTH=LOGIN PLAIN", true),
            ("250 AUTH=PLAIN", true),
            ("250 AUTH =LOGIN plain", true),
            ("250-AUTH\r\n250 AUTH XPLAIN LOGIN", false),
            ("250 XAUTH PLAIN", false),
        ] {
            let reply = read(&format!("250-mail\r\n{lines}\r\n")).await.expect("a reply");
            assert_eq!(reply.offers_mechanism("PLAIN"), offers, "{lines}");
        }
    }

    #[tokio::test]
    async fn another_protocol_is_refused() {
        for text in [
            "HTTP/1.1 400 Bad\r\n",
            "25\r\n",
            "250x\r\n",
            "199 a\r\n",
            "250-a\r\n220 b\r\n",
            "é50 \r\n",
        ] {
            assert_eq!(read(text).await.unwrap_err().reason(), Reason::Protocol, "{text}");
        }
        assert_eq!(read("250-a\r\n").await.unwrap_err().reason(), Reason::ConnectionReset);
    }

    #[test]
    fn refusals_have_their_reasons() {
        for (code, text, command, expected) in [
            (421, "4.3.2 shutting down", Command::Connect, Reason::NotServing),
            (421, "4.7.0 too many connections from you", Command::Connect, Reason::Overloaded),
            (
                421,
                "The maximum number of concurrent connections",
                Command::Hello,
                Reason::Overloaded,
            ),
            (421, "4.3.2 All server ports are busy", Command::Connect, Reason::Overloaded),
            (421, "rejecting connections: load average: 20", Command::Auth, Reason::Overloaded),
            (452, "4.3.1 Insufficient system resources", Command::Hello, Reason::Overloaded),
            (421, "4.3.0 going down", Command::Starttls, Reason::NotServing),
            (554, "no SMTP service here", Command::Connect, Reason::NotServing),
            (421, "idle", Command::Auth, Reason::NotServing),
            (454, "TLS not available", Command::Starttls, Reason::TlsFailed),
            (454, "temporary failure", Command::Auth, Reason::NotServing),
            (535, "wrong", Command::Auth, Reason::AuthFailed),
            (432, "transition needed", Command::Auth, Reason::AuthFailed),
            (550, "who are you", Command::Hello, Reason::UnexpectedStatus),
            (451, "try later", Command::Hello, Reason::NotServing),
        ] {
            let reply = Reply { code, lines: vec![text.to_owned()] };
            assert_eq!(reply.reason(command), expected, "{code} {text} {command}");
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
