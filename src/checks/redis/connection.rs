//! A connection to one server: who logs in, and commands with their replies.
//!
//! # Logging in
//! `AUTH`, `SELECT` and `PING` are sent in one go. A server older than Redis 6 knows no users and
//! refuses `AUTH` with two arguments; it is then sent the password alone, over the same connection.

use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::{Redaction, Secret};
use crate::engine::check::{Context, Failure};
use crate::model::Reason;
use crate::net::{self, ServerAddress, Session, Stream};

use super::error::ErrorReply;
use super::reply::{Reply, command, parse};

/// What precedes every other command: who logs in, and which database is selected.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    /// Empty for the default user.
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
}

impl Login {
    /// The commands, the last of which is `question`.
    fn commands(&self, with_user: bool, question: &[&str]) -> Secret {
        let mut commands = String::new();
        if let Some(password) = &self.password {
            commands += &match self.user.as_str() {
                user if with_user && !user.is_empty() => {
                    command(&["AUTH", user, password.expose()])
                }
                _ => command(&["AUTH", password.expose()]),
            };
        }
        if self.database != 0 {
            commands += &command(&["SELECT", &self.database.to_string()]);
        }
        commands += &command(question);
        Secret::new(commands)
    }
}

/// A connection to the server at `address`.
pub(super) struct Connection<'a> {
    session: Session<'a, Stream, ServerAddress>,
    address: &'a ServerAddress,
    redaction: &'a Redaction,
    /// The code of the last reply, if that was an error.
    error_code: Option<String>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        address: &'a ServerAddress,
        stream: Stream,
        redaction: &'a Redaction,
    ) -> Self {
        let session = Session::new(address, "the protocol of Redis", stream);
        Self { session, address, redaction, error_code: None }
    }

    /// Sends the login and `question`, and awaits the first byte of what is answered.
    pub(super) async fn begin(&mut self, login: &Login, question: &[&str]) -> Result<(), Failure> {
        let commands = login.commands(true, question);
        self.session.send(commands.expose().as_bytes()).await;
        self.session.first_byte().await
    }

    /// The reply to `question`, which [`begin`](Self::begin) has sent.
    pub(super) async fn answer(
        &mut self,
        login: &Login,
        question: &[&str],
    ) -> Result<Reply, Failure> {
        let selects = login.database != 0;
        if login.password.is_some() {
            match self.next().await? {
                Err(error) if !login.user.is_empty() && error.counts_arguments() => {
                    // Nothing of what followed was let in.
                    for _ in 0..=usize::from(selects) {
                        self.next().await?.ok();
                    }
                    let commands = login.commands(false, question);
                    self.session.send(commands.expose().as_bytes()).await;
                    let answer = self.next().await?;
                    self.word("AUTH", "OK", answer)?;
                }
                answer => self.word("AUTH", "OK", answer)?,
            }
        }
        if selects {
            let answer = self.next().await?;
            self.word("SELECT", "OK", answer)?;
        }
        let answer = self.next().await?;
        self.accept(&question.join(" "), answer)
    }

    /// Whether the server answers `PONG`.
    pub(super) async fn pong(&mut self, login: &Login) -> Result<(), Failure> {
        match self.answer(login, &["PING"]).await? {
            Reply::Simple(word) if word == "PONG" => Ok(()),
            _ => Err(self.session.unexpected()),
        }
    }

    /// The text of each of these sections of `INFO`, or why there is none.
    pub(super) async fn info<const N: usize>(
        &mut self,
        sections: [&str; N],
    ) -> [Result<String, Failure>; N] {
        let commands = sections.map(|section| command(&["INFO", section])).concat();
        self.session.send(commands.as_bytes()).await;
        let mut answers = sections.map(|_| Ok(String::new()));
        for answer in &mut answers {
            *answer = self.section().await;
        }
        answers
    }

    async fn section(&mut self) -> Result<String, Failure> {
        let answer = self.next().await?;
        match self.accept("INFO", answer)? {
            Reply::Bulk(text) => Ok(text),
            _ => Err(self.without_text("INFO")),
        }
    }

    /// The text that the server answers to `words`.
    pub(super) async fn text(&mut self, words: &[&str]) -> Result<String, Failure> {
        self.session.send(command(words).as_bytes()).await;
        let answer = self.next().await?;
        let name = words.join(" ");
        match self.accept(&name, answer)? {
            Reply::Bulk(text) => Ok(text),
            _ => Err(self.without_text(&name)),
        }
    }

    fn without_text(&self, command: &str) -> Failure {
        let text = format!("{} answered to {command} without a text", self.address);
        Failure::new(Reason::UnexpectedBody, text).answered()
    }

    /// The next reply, or the error that the server answers instead. Pushes are ignored.
    async fn next(&mut self) -> Result<Result<Reply, ErrorReply>, Failure> {
        loop {
            match self.session.next(parse).await? {
                Reply::Push => {}
                Reply::Error(text) => return Ok(Err(ErrorReply(text))),
                reply => return Ok(Ok(reply)),
            }
        }
    }

    /// Fails unless `answer` to `command` is the word `expected`.
    fn word(
        &mut self,
        command: &str,
        expected: &str,
        answer: Result<Reply, ErrorReply>,
    ) -> Result<(), Failure> {
        match self.accept(command, answer)? {
            Reply::Simple(word) if word == expected => Ok(()),
            _ => Err(self.session.unexpected()),
        }
    }

    /// The reply to `command`, or the failure that an error in its place stands for.
    fn accept(
        &mut self,
        command: &str,
        answer: Result<Reply, ErrorReply>,
    ) -> Result<Reply, Failure> {
        let error = match answer {
            Ok(reply) => {
                self.error_code = None;
                return Ok(reply);
            }
            Err(error) => error,
        };
        self.error_code = error.code().map(|code| self.redaction.clean(code));
        let text = net::brief(self.redaction.clean(&error.0));
        let text = format!("{} answered to {command}: {text}", self.address);
        Err(Failure::new(error.reason(command), text))
    }

    /// Records on the span of the run that fails which error was answered last.
    pub(super) fn record_error(&self, cx: &Context) {
        if let Some(code) = &self.error_code {
            cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, code.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_sent_before_the_question() {
        let login = |user: &str, password: Option<&str>, database| Login {
            user: user.to_owned(),
            password: password.map(Secret::new),
            database,
        };
        let sent = |login: Login, with_user| {
            login.commands(with_user, &["PING"]).expose().replace("\r\n", " ")
        };
        let ping = "*1 $4 PING ";
        assert_eq!(sent(login("", None, 0), true), ping);
        assert_eq!(sent(login("", Some("p"), 0), true), format!("*2 $4 AUTH $1 p {ping}"));
        let select = "*2 $6 SELECT $2 15 ";
        let user = login("app", Some("p@ss"), 15);
        let wanted = format!("*3 $4 AUTH $3 app $4 p@ss {select}{ping}");
        assert_eq!(sent(user.clone(), true), wanted);
        assert_eq!(sent(user, false), format!("*2 $4 AUTH $4 p@ss {select}{ping}"));
    }
}
