//! A connection to one server: commands and their replies.

use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::Redaction;
use crate::engine::check::{Context, Failure};
use crate::net::{self, Endpoint, Session, Stream};

use super::bson::{Document, Writer};
use super::message;
use super::reply::{Command, CommandError};

/// A connection to the server at `endpoint`, and how many requests were sent over it.
pub(super) struct Connection<'a> {
    session: Session<'a>,
    requests: i32,
    pub(super) endpoint: &'a Endpoint,
    redaction: &'a Redaction,
}

impl<'a> Connection<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, stream: Stream, redaction: &'a Redaction) -> Self {
        let session = Session::new(endpoint, "the protocol of MongoDB", stream);
        Self { session, requests: 0, endpoint, redaction }
    }

    /// Sends a command and awaits its reply, or the error that the server answers.
    pub(super) async fn send(
        &mut self,
        body: Writer,
    ) -> Result<Result<Document, CommandError>, Failure> {
        self.requests += 1;
        let number = self.requests;
        self.session.send(&message::request(number, body)).await;
        let reply = self.session.next(|bytes| message::parse(bytes, number)).await?;
        match CommandError::of(&reply) {
            Ok(None) => Ok(Ok(reply)),
            Ok(Some(error)) => Ok(Err(error)),
            Err(_) => Err(self.unexpected()),
        }
    }

    /// Sends a command and awaits its reply; an error fails the run.
    pub(super) async fn command(
        &mut self,
        cx: &Context,
        command: Command,
        body: Writer,
    ) -> Result<Document, Failure> {
        self.send(body).await?.map_err(|error| self.refused(cx, command, &error))
    }

    /// The failure of a `command` that the server answers with `error`.
    pub(super) fn refused(&self, cx: &Context, command: Command, error: &CommandError) -> Failure {
        let code = error.code.map(|code| code.to_string());
        if let Some(code) = &code {
            cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, code.clone());
        }
        let text = net::brief(self.redaction.clean(&error.text));
        let code = code.unwrap_or_else(|| "an error".to_owned());
        let text = format!("{} answered {code} to {}: {text}", self.endpoint, command.name());
        Failure::new(error.reason(command), text)
    }

    /// The failure of a server that speaks another protocol.
    pub(super) fn unexpected(&self) -> Failure {
        self.session.unexpected()
    }

    /// `text` of the server without secrets, for a message.
    pub(super) fn clean(&self, text: &str) -> String {
        net::brief(self.redaction.clean(text))
    }
}
