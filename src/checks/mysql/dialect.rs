//! MySQL and MariaDB as the shared code of the databases sees them: the default query, and what an
//! error of the server stands for.

use std::path::PathBuf;

use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, MySql};

use crate::checks::sql::{Dialect, Rows, Stage, Target};
use crate::model::{Reason, Server};

impl Dialect for MySql {
    const KIND: &'static str = "mysql";
    const QUERY: &'static str = "SELECT 1";

    fn reason(error: &dyn DatabaseError, _: Stage) -> Reason {
        reason(number(error))
    }

    fn unserved(error: &dyn DatabaseError) -> Option<Reason> {
        unserved(number(error))
    }

    fn code(error: &dyn DatabaseError) -> Option<String> {
        Some(number(error).to_string())
    }

    fn target(options: &MySqlConnectOptions) -> Target {
        let namespace = options.get_database().map(str::to_owned);
        let socket = options.get_socket().map(PathBuf::as_path);
        let server = Server::of_database(options.get_host(), socket, options.get_port());
        Target { system: "mysql", namespace, server: Some(server) }
    }

    fn rows(conn: &mut MySqlConnection, sql: String) -> Rows<'_, Self> {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn)
    }
}

/// The number of a server's own error.
fn number(error: &dyn DatabaseError) -> u16 {
    error.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number)
}

/// The reason for which a server did not serve a statement, by its number; `None` when the error is
/// an answer.
fn unserved(number: u16) -> Option<Reason> {
    match (number, reason(number)) {
        // The disk or the table space is full; no memory.
        (1021 | 1037 | 1038 | 1114, _) => Some(Reason::Overloaded),
        // It was a primary, and has become a replica (MySQL's numbers).
        (1290 | 1836, _) => Some(Reason::NotServing),
        // The storage engine fails; a file is damaged.
        (1030 | 1034 | 1194 | 1195, _) => Some(Reason::QueryFailed),
        (_, Reason::QueryFailed) => None,
        (_, reason) => Some(reason),
    }
}

/// The reason of an error number, by the server error references of MySQL and MariaDB.
pub(super) fn reason(number: u16) -> Reason {
    match number {
        // Access denied, to the server or database; host not allowed; a plugin or password that
        // no longer is; TLS that is asked for; a locked account (MySQL's and MariaDB's number).
        1044 | 1045 | 1130 | 1251 | 1275 | 1524 | 1698 | 1820 | 1862 | 2061 | 3118 | 3159
        | 4151 => Reason::AuthFailed,
        // Connections, memory, threads, a host's failed attempts, a user's connections or share.
        1040 | 1041 | 1129 | 1135 | 1203 | 1226 => Reason::Overloaded,
        // Shutting down, offline, or this connection was killed.
        1053 | 1077 | 1079 | 1927 | 3032 => Reason::NotServing,
        // The server's own bounds on a statement's time.
        1969 | 3024 => Reason::Timeout,
        1043 | 1047 | 1153 | 1156..=1161 => Reason::Protocol,
        _ => Reason::QueryFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_statement_is_an_answer_unless_the_server_could_not_serve() {
        for (number, wanted) in [
            (1062, None),
            (1452, None),
            (1146, None),
            (1064, None),
            (1213, None),
            (1040, Some(Reason::Overloaded)),
            (1021, Some(Reason::Overloaded)),
            (1053, Some(Reason::NotServing)),
            (1290, Some(Reason::NotServing)),
            (3024, Some(Reason::Timeout)),
            (1030, Some(Reason::QueryFailed)),
        ] {
            assert_eq!(unserved(number), wanted, "{number}");
        }
    }

    #[test]
    fn the_number_of_an_error_gives_its_reason() {
        for (number, wanted) in [
            (1045, Reason::AuthFailed),
            (1698, Reason::AuthFailed),
            (3159, Reason::AuthFailed),
            (1040, Reason::Overloaded),
            (1203, Reason::Overloaded),
            (1053, Reason::NotServing),
            (1969, Reason::Timeout),
            (3024, Reason::Timeout),
            (1156, Reason::Protocol),
            (1049, Reason::QueryFailed),
            (1064, Reason::QueryFailed),
        ] {
            assert_eq!(reason(number), wanted, "{number}");
        }
    }
}
