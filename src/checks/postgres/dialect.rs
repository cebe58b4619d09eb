//! PostgreSQL as the shared code of the databases sees it: the default query, and what an error of
//! the server stands for.

use std::path::PathBuf;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Postgres};

use crate::checks::sql::{Dialect, Rows, Stage, Target};
use crate::model::{Reason, Server};

impl Dialect for Postgres {
    const KIND: &'static str = "postgres";
    const QUERY: &'static str = "SELECT 1";

    fn reason(error: &dyn DatabaseError, stage: Stage) -> Reason {
        reason(error.code().as_deref().unwrap_or_default(), error.message(), stage)
    }

    fn unserved(error: &dyn DatabaseError) -> Option<Reason> {
        unserved(error.code().as_deref().unwrap_or_default(), error.message())
    }

    fn target(options: &PgConnectOptions) -> Target {
        // Without a database's name the server takes the user's.
        let namespace = options.get_database().unwrap_or_else(|| options.get_username());
        let socket = options.get_socket().map(PathBuf::as_path);
        let host = options.get_host();
        Target {
            system: "postgresql",
            namespace: Some(namespace.to_owned()),
            server: Some(Server::of_database(host, socket, options.get_port())),
        }
    }

    fn rows(conn: &mut PgConnection, sql: String) -> Rows<'_, Self> {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn)
    }
}

/// The reason for which a server did not serve a statement, by its SQLSTATE; `None` when the error
/// is an answer.
fn unserved(sqlstate: &str, text: &str) -> Option<Reason> {
    match reason(sqlstate, text, Stage::Query) {
        // It was a primary, and has become a replica.
        Reason::QueryFailed if sqlstate == "25006" => Some(Reason::NotServing),
        // Errors of the system, of the configuration file and of the server itself.
        Reason::QueryFailed => {
            let of_server = ["58", "F0", "XX"].iter().any(|class| sqlstate.starts_with(class));
            of_server.then_some(Reason::QueryFailed)
        }
        reason => Some(reason),
    }
}

/// The reason of an SQLSTATE, by appendix A of PostgreSQL's manual, and of the texts by which
/// poolers say more than their code does.
fn reason(sqlstate: &str, text: &str, stage: Stage) -> Reason {
    match (sqlstate, stage) {
        // A database that takes no connections has the last code.
        ("57P01" | "57P02" | "57P03", _) | ("55000", Stage::Connect) => Reason::NotServing,
        ("57014", _) => Reason::Timeout,
        // The answer of PgBouncer's console to what it does not know.
        ("08P01", Stage::Query) if text.starts_with("invalid command") => Reason::QueryFailed,
        // PgBouncer's code for whatever it refuses.
        ("08P01", _) => by_text(text).unwrap_or(Reason::Protocol),
        // No right to connect.
        ("42501", Stage::Connect) => Reason::AuthFailed,
        _ if sqlstate.starts_with("28") => Reason::AuthFailed,
        _ if sqlstate.starts_with("53") => Reason::Overloaded,
        _ if sqlstate.starts_with("08") => Reason::NotServing,
        _ if stage == Stage::Connect => by_text(text).unwrap_or(Reason::QueryFailed),
        _ => Reason::QueryFailed,
    }
}

/// The reason that the text of a pooler gives: PgBouncer's and pgpool's.
fn by_text(text: &str) -> Option<Reason> {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    // First, for what follows is the server's own error: the pooler has no server to offer.
    if says(&[
        "server login",
        "client_login_timeout",
        "cannot connect to server",
        "shutting down",
        "is disabled",
        "database removed",
        "server conn crashed",
        "pgpool is not accepting",
        "all backend nodes are down",
        "failed to create a backend connection",
    ]) {
        return Some(Reason::NotServing);
    }
    if says(&["no more connections allowed", "connections exceeded", "query_wait_timeout"]) {
        return Some(Reason::Overloaded);
    }
    if says(&[
        "authentication failed",
        "auth failed",
        "no such user",
        "login rejected",
        "unable to authenticate",
        "SSL required",
        "certificate",
        "not allowed",
    ]) {
        return Some(Reason::AuthFailed);
    }
    if says(&["no such database", "does not exist"]) {
        return Some(Reason::QueryFailed);
    }
    says(&["query_timeout", "transaction_timeout"]).then_some(Reason::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_error_gives_its_reason() {
        use Reason::{AuthFailed, NotServing, Overloaded, Protocol, QueryFailed, Timeout};
        for (state, at_login, at_query) in [
            ("28P01", AuthFailed, AuthFailed),
            ("28000", AuthFailed, AuthFailed),
            ("53300", Overloaded, Overloaded),
            ("57P03", NotServing, NotServing),
            ("57P01", NotServing, NotServing),
            ("57014", Timeout, Timeout),
            ("08006", NotServing, NotServing),
            ("08P01", Protocol, Protocol),
            ("3D000", QueryFailed, QueryFailed),
            ("42P01", QueryFailed, QueryFailed),
            ("42501", AuthFailed, QueryFailed),
            ("55000", NotServing, QueryFailed),
        ] {
            assert_eq!(reason(state, "", Stage::Connect), at_login, "{state}");
            assert_eq!(reason(state, "", Stage::Query), at_query, "{state}");
        }
    }

    #[test]
    fn an_error_of_a_statement_is_an_answer_unless_the_server_could_not_serve() {
        for (state, wanted) in [
            ("23505", None),
            ("23503", None),
            ("42P01", None),
            ("40001", None),
            ("40P01", None),
            ("22P02", None),
            ("42501", None),
            ("25006", Some(Reason::NotServing)),
            ("57P01", Some(Reason::NotServing)),
            ("53100", Some(Reason::Overloaded)),
            ("53300", Some(Reason::Overloaded)),
            ("57014", Some(Reason::Timeout)),
            ("58030", Some(Reason::QueryFailed)),
            ("XX001", Some(Reason::QueryFailed)),
        ] {
            assert_eq!(unserved(state, ""), wanted, "{state}");
        }
    }

    #[test]
    fn the_text_of_a_pooler_gives_its_reason() {
        use Reason::{AuthFailed, NotServing, Overloaded, Protocol, QueryFailed, Timeout};
        for (state, text, wanted) in [
            ("08P01", "password authentication failed", AuthFailed),
            ("08P01", "SASL authentication failed", AuthFailed),
            ("08P01", "auth failed", AuthFailed),
            ("08P01", "no such user: app", AuthFailed),
            ("08P01", "SSL required", AuthFailed),
            ("08P01", "no more connections allowed (max_client_conn)", Overloaded),
            ("08P01", "client connections exceeded (max_db_client_connections)", Overloaded),
            ("08P01", "query_wait_timeout", Overloaded),
            ("08P01", "query_timeout", Timeout),
            ("08P01", "no such database: none", QueryFailed),
            ("08P01", "database \"none\" does not exist", QueryFailed),
            ("08P01", "database app is disabled", NotServing),
            ("08P01", "server login failed: FATAL password authentication failed", NotServing),
            ("08P01", "server login has been failing, cached error: connect failed", NotServing),
            ("08P01", "client_login_timeout (server down)", NotServing),
            ("08P01", "the database system is shutting down", NotServing),
            ("08P01", "pgbouncer cannot connect to server", NotServing),
            ("08P01", "unsupported startup parameter: options", Protocol),
            ("XX000", "pgpool is not accepting any new connections", NotServing),
            ("58000", "failed to create a backend connection", NotServing),
            ("XX000", "all backend nodes are down, pgpool requires one", NotServing),
        ] {
            assert_eq!(reason(state, text, Stage::Connect), wanted, "{state} {text}");
        }
        let console = "invalid command 'SELECT 1', use SHOW HELP;";
        assert_eq!(reason("08P01", console, Stage::Query), QueryFailed);
    }
}
