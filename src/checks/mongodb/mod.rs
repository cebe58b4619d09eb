//! The `mongodb` kind: what a server says of itself, and whether it answers.
//!
//! It speaks the protocol itself, over one connection that belongs to the run: a driver would
//! watch the server, and try again, behind its back. The protocol has no field for a trace
//! context, so none is sent.
//!
//! It was tested against peers that follow MongoDB's public specifications and are encoded by, and
//! understood by, MongoDB's own Python driver; not against MongoDB itself.

mod bson;
mod message;
mod options;
mod reply;
mod url;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::io::AsyncWriteExt;

use crate::config::{KindOptions, Redaction};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::scram::{Hash, Scram, ScramError};
use crate::net::{self, Endpoint, Stream, TlsClient};

use bson::{Document, Value, Writer};
use message::Unread;
pub(crate) use options::MongodbOptions;
use options::Role;
use reply::{Member, Refusal, Step};
use url::Login;

/// The database that takes commands to the server itself.
const ADMIN: &str = "admin";

/// A check of one server, made of its options.
struct Mongodb {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    login: Option<Login>,
    /// The replica set that it must belong to.
    set: Option<String>,
    /// Who asks, where it is not this program.
    app: Option<String>,
    role: Role,
    redaction: Redaction,
}

/// A connection and how many requests were sent over it.
struct Talk {
    stream: Stream,
    requests: i32,
}

#[async_trait]
impl Check for Mongodb {
    fn kind(&self) -> &'static str {
        MongodbOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.endpoint.server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let [address, port] = self.endpoint.attributes();
        let attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "mongodb"),
            KeyValue::new(semconv::DB_OPERATION_NAME, "ping"),
            KeyValue::new(semconv::DB_NAMESPACE, ADMIN),
            address,
            port,
        ];
        cx.client("ping admin", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Mongodb {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let stream = net::open(cx, &self.endpoint, self.tls.as_ref()).await?;
        let mut talk = Talk { stream, requests: 0 };
        let hello = cx.phase(Phase::Request, self.greet(cx, &mut talk)).await?;
        // It serves nobody, whatever the credentials are.
        let member = self.serving(&hello)?;
        if let Some(login) = &self.login {
            cx.phase(Phase::Request, Box::pin(self.log_in(cx, &mut talk, login))).await?;
        }
        let ping = Writer::command("ping").text("$db", ADMIN);
        cx.phase(Phase::Transfer, self.command(cx, &mut talk, Step::Ping, ping)).await?;
        self.judge(member, &hello)
    }

    async fn greet(&self, cx: &Context, talk: &mut Talk) -> Result<Document, Failure> {
        let name = env!("CARGO_PKG_NAME");
        let driver = Writer::new().text("name", name).text("version", env!("CARGO_PKG_VERSION"));
        let client = Writer::new()
            .document(
                "application",
                Writer::new().text("name", self.app.as_deref().unwrap_or(name)),
            )
            .document("driver", driver)
            .document("os", Writer::new().text("type", std::env::consts::OS));
        let hello = Writer::command("hello").document("client", client).text("$db", ADMIN);
        self.command(cx, talk, Step::Hello, hello).await
    }

    /// What a server is that serves.
    fn serving(&self, hello: &Document) -> Result<Member, Failure> {
        let failed = |reason, what: &dyn std::fmt::Display| {
            Err(Failure::new(reason, format!("{} {what}", self.endpoint)).answered())
        };
        match Member::of(hello) {
            None => failed(Reason::UnexpectedBody, &"does not tell what it is"),
            Some(member @ (Member::Unready | Member::Uninitiated)) => {
                failed(Reason::NotServing, &format_args!("is {member}"))
            }
            Some(member) => Ok(member),
        }
    }

    /// Whether it is the server that is expected.
    fn judge(&self, member: Member, hello: &Document) -> Result<Detail, Failure> {
        let failed = |what: String| {
            let text = format!("{} is {what}", self.endpoint);
            Err(Failure::new(Reason::UnexpectedStatus, text).answered())
        };
        match self.role {
            Role::Primary if !member.takes_writes() => {
                return failed(format!("{member}, and takes no writes"));
            }
            Role::Secondary if member != Member::Secondary => {
                return failed(format!("{member}, not a secondary"));
            }
            _ => {}
        }
        match &self.set {
            Some(set) if hello.text("setName") != Some(set) => {
                failed("no member of the replica set that the URL names".to_owned())
            }
            _ => Ok(Detail::ok()),
        }
    }

    /// Logs in by SCRAM-SHA-256, as MongoDB's specification of authentication has it.
    async fn log_in(&self, cx: &Context, talk: &mut Talk, login: &Login) -> Result<(), Failure> {
        let failed = |error: ScramError| self.not_proved(&error);
        let mut scram = Scram::new(&login.user, &login.password, Hash::Sha256).map_err(failed)?;
        let start = Writer::command("saslStart")
            .text("mechanism", "SCRAM-SHA-256")
            .binary("payload", scram.first().as_bytes())
            // Else a server may want an empty message at the end.
            .document("options", Writer::new().flag("skipEmptyExchange", true))
            .text("$db", &login.source);
        let reply = self.command(cx, talk, Step::SaslStart, start).await?;
        let conversation = reply.number("conversationId").and_then(reply::integer);
        let conversation = conversation.ok_or_else(|| self.strange())?;
        let proof = scram.respond(self.payload(&reply)?).await.map_err(failed)?;
        let go_on = |payload: &[u8]| {
            Writer::command("saslContinue")
                .int32("conversationId", conversation)
                .binary("payload", payload)
                .text("$db", &login.source)
        };
        let reply = self.command(cx, talk, Step::SaslContinue, go_on(proof.as_bytes())).await?;
        scram.verify(self.payload(&reply)?).map_err(failed)?;
        if reply.says("done") {
            return Ok(());
        }
        let reply = self.command(cx, talk, Step::SaslContinue, go_on(b"")).await?;
        if reply.says("done") { Ok(()) } else { Err(self.strange()) }
    }

    /// What a server says by SCRAM.
    fn payload<'a>(&self, reply: &'a Document) -> Result<&'a str, Failure> {
        match reply.get("payload") {
            Some(Value::Binary(bytes)) => std::str::from_utf8(bytes).map_err(|_| self.strange()),
            _ => Err(self.strange()),
        }
    }

    /// Sends a command and awaits its reply.
    async fn command(
        &self,
        cx: &Context,
        talk: &mut Talk,
        step: Step,
        body: Writer,
    ) -> Result<Document, Failure> {
        talk.requests += 1;
        let request = message::request(talk.requests, body);
        let sent = async {
            talk.stream.write_all(&request).await?;
            talk.stream.flush().await
        };
        sent.await
            .map_err(|error| net::failure(format_args!("sending to {}", self.endpoint), &error))?;
        let reply = message::reply(&mut talk.stream, talk.requests).await;
        let reply = reply.map_err(|error| self.unread(&error))?;
        match Refusal::of(&reply) {
            Ok(None) => Ok(reply),
            Ok(Some(refusal)) => Err(self.refused(cx, step, &refusal)),
            Err(bson::Malformed) => Err(self.strange()),
        }
    }

    fn refused(&self, cx: &Context, step: Step, refusal: &Refusal) -> Failure {
        let code = refusal.code.map(|code| code.to_string());
        if let Some(code) = &code {
            cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, code.clone());
        }
        let text = net::brief(self.redaction.clean(&refusal.text));
        let code = code.unwrap_or_else(|| "an error".to_owned());
        let text = format!("{} answered {code} to {}: {text}", self.endpoint, step.command());
        Failure::new(refusal.reason(step), text)
    }

    fn not_proved(&self, error: &ScramError) -> Failure {
        let text = net::brief(self.redaction.clean(&error.to_string()));
        Failure::new(error.reason(), format!("logging in to {} failed: {text}", self.endpoint))
    }

    fn unread(&self, error: &Unread) -> Failure {
        let (reason, what) = match error {
            Unread::Io(error) => {
                return net::failure(format_args!("reading from {}", self.endpoint), error);
            }
            Unread::Malformed => return self.strange(),
            Unread::Ended => {
                (Reason::ConnectionReset, "closed the connection before its answer was complete")
            }
            Unread::TooLarge => (Reason::TooLarge, "answered with more than 64 KiB"),
        };
        Failure::new(reason, format!("{} {what}", self.endpoint))
    }

    fn strange(&self) -> Failure {
        let text = format!("{} does not speak the protocol of MongoDB", self.endpoint);
        Failure::new(Reason::Protocol, text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// What a run holds while it waits, times the thousands that may wait at once.
    #[tokio::test]
    async fn a_run_takes_little_memory() {
        let options: MongodbOptions = toml::from_str("url = 'mongodb://127.0.0.1:1'").unwrap();
        let check = options.make().unwrap();
        let cx = Context::new(Instant::now() + Duration::from_secs(1), None);
        let (run, ask) = (size_of_val(&*check.run(&cx)), size_of_val(&check.ask(&cx)));
        assert!(run + ask < 4096, "{run} and {ask} bytes");
    }
}
