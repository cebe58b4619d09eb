//! A check of an application's own Redis client.

use std::error::Error;
use std::io;
use std::sync::Arc;

use ::redis::aio::ConnectionManager;
use ::redis::{ErrorKind, RedisError, cmd};
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use super::error::{TOO_MANY_CLIENTS, reason_of_code};
use crate::engine::check::{Check, Context, Detail, Failure, brief};
use crate::model::{Phase, Reason};

/// A check of the application's own connection to Redis: sends `PING` over it.
///
/// A server that requires a password fails the run with [`Reason::AuthFailed`], one that loads its
/// data with [`Reason::NotServing`], and one that does not answer with [`Reason::Timeout`].
///
/// The result is the same as for a command of the application. The manager reconnects by itself, a
/// few times with growing pauses, and commands wait for it. So the first run after the server has
/// stopped reports a broken connection, and later runs may time out while the manager reconnects.
/// The `redis` kind opens its own connection and knows at once.
///
/// ```
/// # async fn run() -> Result<(), redis::RedisError> {
/// let client = redis::Client::open("redis://127.0.0.1:6379")?;
/// let connection = client.get_connection_manager().await?;
/// let check = vitalsign::checks::redis::manager(connection.clone());
/// # let _ = check;
/// # Ok(()) }
/// ```
#[must_use]
pub fn manager(connection: ConnectionManager) -> impl Check {
    Manager(connection)
}

struct Manager(ConnectionManager);

#[async_trait]
impl Check for Manager {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let attributes = vec![
            KeyValue::new(semconv::DB_SYSTEM_NAME, "redis"),
            KeyValue::new(semconv::DB_OPERATION_NAME, "PING"),
        ];
        cx.client("PING", attributes, self.ask(cx)).await
    }
}

impl Manager {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut connection = self.0.clone();
        let ping = cmd("PING");
        let answer = cx.phase(Phase::Request, ping.query_async::<String>(&mut connection)).await;
        match answer {
            Ok(word) if word == "PONG" => Ok(Detail::ok()),
            Ok(_) => Err(Failure::new(Reason::Protocol, "the answer to PING is not PONG")),
            Err(error) => Err(failure(cx, &error)),
        }
    }
}

/// The failure that `error` stands for.
fn failure(cx: &Context, error: &RedisError) -> Failure {
    if let Some(code) = error.code() {
        cx.attribute(semconv::DB_RESPONSE_STATUS_CODE, brief(code));
    }
    Failure::new(reason(error), brief(format_args!("PING: {error}")))
}

/// The reason that an error of the client stands for.
pub(crate) fn reason(error: &RedisError) -> Reason {
    let refused = error.code().and_then(reason_of_code);
    let full = || error.detail().is_some_and(|text| text.contains(TOO_MANY_CLIENTS));
    match error.kind() {
        _ if refused.is_some() || full() => refused.unwrap_or(Reason::Overloaded),
        ErrorKind::AuthenticationFailed => Reason::AuthFailed,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::RESP3NotSupported => {
            Reason::Protocol
        }
        ErrorKind::Server(_) | ErrorKind::Extension => Reason::QueryFailed,
        _ if error.is_timeout() => Reason::Timeout,
        // Without a cause: the client says so of a connection that it finds closed.
        ErrorKind::Io => io_error(error).map_or(Reason::ConnectionReset, Reason::of_io),
        _ => Reason::Other,
    }
}

/// The I/O error that caused `error`.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    // The client shares it, and in the chain of causes stands what shares it.
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    shared.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_client_gives_its_reason() {
        let io = |kind: io::ErrorKind| RedisError::from(io::Error::from(kind));
        let of = |kind: ErrorKind| RedisError::from((kind, "it went wrong"));
        let said = |code: &str, text: &str| {
            ::redis::make_extension_error(code.to_owned(), Some(text.to_owned()))
        };
        for (error, wanted) in [
            (io(io::ErrorKind::ConnectionRefused), Reason::ConnectionRefused),
            (io(io::ErrorKind::BrokenPipe), Reason::ConnectionReset),
            (io(io::ErrorKind::HostUnreachable), Reason::Unreachable),
            (io(io::ErrorKind::TimedOut), Reason::Timeout),
            (of(ErrorKind::Io), Reason::ConnectionReset),
            (of(ErrorKind::AuthenticationFailed), Reason::AuthFailed),
            (of(ErrorKind::Parse), Reason::Protocol),
            (said("NOAUTH", "Authentication required."), Reason::AuthFailed),
            (said("LOADING", "Redis is loading the dataset in memory"), Reason::NotServing),
            (said("MISCONF", "Redis is configured to save"), Reason::NotServing),
            (said("OOM", "command not allowed"), Reason::Overloaded),
            (said("ERR", "max number of clients reached"), Reason::Overloaded),
            (said("ERR", "unknown command"), Reason::QueryFailed),
        ] {
            assert_eq!(reason(&error), wanted, "{error}");
        }
    }
}
