//! The check of the `mongodb` kind: sends `hello`, logs in and sends `ping`.
//!
//! It speaks the protocol itself, over one connection per run. A driver would open more connections
//! to monitor the server, and retry in the background. The protocol has no field for a trace
//! context, so none is sent.
//!
//! # Servers that DNS lists
//! A `mongodb+srv` URL names servers by a DNS record. They are tried one after the other until one
//! meets the expectations. A refused login ends the run: the other servers know the same users, and
//! each further attempt could lock the account.
//!
//! # Tests
//! It was tested against scripted peers that follow MongoDB's public specifications. MongoDB's own
//! Python driver encodes their replies and accepts them. It was not tested against MongoDB itself.

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::Redaction;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::{self, Endpoint, TlsClient, attempt, most_telling};

use super::bson::{Document, Writer};
use super::connection::Connection;
use super::listing::{Listing, Servers};
use super::login::{Login, by_certificate, by_password};
use super::reply::{COMMAND_NOT_FOUND, Command, Member, Role};

/// The database that takes commands to the server itself.
const ADMIN: &str = "admin";

/// A check of one server, or of those that DNS lists.
pub(super) struct MongodbCheck {
    pub(super) servers: Servers,
    pub(super) tls: Option<TlsClient>,
    pub(super) login: Option<Login>,
    /// The replica set that it must belong to.
    pub(super) set: Option<String>,
    /// The application name, if one is configured.
    pub(super) app: Option<String>,
    pub(super) role: Role,
    pub(super) redaction: Redaction,
}

#[async_trait]
impl Check for MongodbCheck {
    fn kind(&self) -> &'static str {
        "mongodb"
    }

    fn server(&self) -> Option<Server> {
        Some(match &self.servers {
            Servers::One(endpoint) => endpoint.server(),
            Servers::Listed(listing) => Server { address: listing.name.clone(), port: None },
        })
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "mongodb"),
            KeyValue::new(semconv::DB_OPERATION_NAME, "ping"),
            KeyValue::new(semconv::DB_NAMESPACE, ADMIN),
        ];
        match &self.servers {
            Servers::One(endpoint) => attributes.extend(endpoint.attributes()),
            Servers::Listed(listing) => {
                attributes.push(KeyValue::new(semconv::SERVER_ADDRESS, listing.name.clone()));
            }
        }
        cx.client("ping admin", attributes, Box::pin(self.ask(cx))).await
    }
}

impl MongodbCheck {
    pub(super) async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        match &self.servers {
            Servers::One(endpoint) => self.ask_server(cx, endpoint, None).await,
            Servers::Listed(listing) => Box::pin(self.ask_listed(cx, listing)).await,
        }
    }

    async fn ask_listed(&self, cx: &Context, listing: &Listing) -> Result<Detail, Failure> {
        let servers = net::lookup_srv(cx, &listing.service_name()).await?;
        listing.accept(&servers)?;
        let source = match &self.login {
            Some(Login::Password(login)) if login.source.is_none() => {
                Listing::source(&net::lookup_txt(cx, &listing.name).await?)
            }
            _ => None,
        };
        self.ask_first(cx, &servers, source.as_deref()).await
    }

    /// Tries `servers` until one meets the expectations; `listed` is the database of the user from
    /// DNS.
    async fn ask_first(
        &self,
        cx: &Context,
        servers: &[Endpoint],
        listed: Option<&str>,
    ) -> Result<Detail, Failure> {
        let mut failures = Vec::new();
        for (index, server) in servers.iter().enumerate() {
            let left = servers.len() - index;
            match attempt(cx, left, self.ask_server(cx, server, listed)).await {
                Err(failure) if failure.reason() != Reason::AuthFailed => failures.push(failure),
                decided => return decided,
            }
        }
        Err(most_telling("servers", failures))
    }

    async fn ask_server(
        &self,
        cx: &Context,
        endpoint: &Endpoint,
        listed: Option<&str>,
    ) -> Result<Detail, Failure> {
        let stream = net::open(cx, endpoint, self.tls.as_ref()).await?;
        let mut connection = Connection::new(endpoint, stream, &self.redaction);
        let greeted = self.greet(cx, &mut connection, listed);
        let (command, hello) = cx.phase(Phase::Request, greeted).await?;
        // It serves no client, whatever the credentials are.
        let member = serving(endpoint, command, &hello)?;
        if let Some(login) = &self.login {
            let login = async {
                match login {
                    Login::Password(login) => {
                        by_password(cx, &mut connection, login, listed, &hello).await
                    }
                    Login::Certificate(user) => {
                        by_certificate(cx, &mut connection, user.as_deref()).await
                    }
                }
            };
            cx.phase(Phase::Request, Box::pin(login)).await?;
        }
        let ping = Writer::command(Command::Ping.name()).text("$db", ADMIN);
        cx.phase(Phase::Transfer, connection.command(cx, Command::Ping, ping)).await?;
        self.judge(endpoint, member, &hello)
    }

    /// Sends `hello`, or `isMaster` to older servers.
    async fn greet(
        &self,
        cx: &Context,
        connection: &mut Connection<'_>,
        listed: Option<&str>,
    ) -> Result<(Command, Document), Failure> {
        match connection.send(self.hello(Command::Hello, listed)).await? {
            Ok(hello) => Ok((Command::Hello, hello)),
            Err(error) if error.code == Some(COMMAND_NOT_FOUND) => {
                match connection.send(self.hello(Command::IsMaster, listed)).await? {
                    Ok(hello) => Ok((Command::IsMaster, hello)),
                    Err(_) => Err(connection.refused(cx, Command::Hello, &error)),
                }
            }
            Err(error) => Err(connection.refused(cx, Command::Hello, &error)),
        }
    }

    fn hello(&self, command: Command, listed: Option<&str>) -> Writer {
        let name = env!("CARGO_PKG_NAME");
        let driver = Writer::new().text("name", name).text("version", env!("CARGO_PKG_VERSION"));
        let application = Writer::new().text("name", self.app.as_deref().unwrap_or(name));
        let client = Writer::new()
            .document("application", application)
            .document("driver", driver)
            .document("os", Writer::new().text("type", std::env::consts::OS));
        let mut hello = Writer::command(command.name()).document("client", client);
        if let Some(Login::Password(login)) = &self.login
            && let Some(user) = login.question(listed)
        {
            hello = hello.text("saslSupportedMechs", &user);
        }
        hello.text("$db", ADMIN)
    }

    /// Checks the server against the expectations.
    fn judge(
        &self,
        endpoint: &Endpoint,
        member: Member,
        hello: &Document,
    ) -> Result<Detail, Failure> {
        let failed = |what: String| {
            let text = format!("{endpoint} is {what}");
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
}

/// The role of a server, if it serves clients.
fn serving(endpoint: &Endpoint, command: Command, hello: &Document) -> Result<Member, Failure> {
    let failed = |reason, what: &dyn std::fmt::Display| {
        Err(Failure::new(reason, format!("{endpoint} {what}")).answered())
    };
    match Member::of(command, hello) {
        None => failed(Reason::UnexpectedBody, &"does not tell what it is"),
        Some(member @ (Member::Unready | Member::Uninitiated)) => {
            failed(Reason::NotServing, &format_args!("is {member}"))
        }
        Some(member) => Ok(member),
    }
}
