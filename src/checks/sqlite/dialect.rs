//! SQLite as the shared code of the databases sees it: the default query, and what an error stands
//! for.

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Sqlite};

use crate::checks::sql::{Dialect, Rows, Stage, Target};
use crate::model::Reason;

impl Dialect for Sqlite {
    const KIND: &'static str = "sqlite";
    const QUERY: &'static str = "SELECT count(*) FROM sqlite_schema";

    fn reason(error: &dyn DatabaseError, _: Stage) -> Reason {
        code(error).map_or(Reason::QueryFailed, reason)
    }

    fn unserved(error: &dyn DatabaseError) -> Option<Reason> {
        unserved(code(error)?)
    }

    fn target(options: &SqliteConnectOptions) -> Target {
        let name = options.get_filename().file_name().map(|n| n.to_string_lossy().into_owned());
        Target { system: "sqlite", namespace: name, server: None }
    }

    fn rows(conn: &mut SqliteConnection, sql: String) -> Rows<'_, Self> {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn)
    }
}

/// The file cannot be opened; the system knows why.
pub(super) const CANNOT_OPEN: u16 = 14;

fn code(error: &dyn DatabaseError) -> Option<u16> {
    error.code().and_then(|code| code.parse().ok())
}

/// The reason for which a statement was not served, by its result code; `None` when the error is an
/// answer.
fn unserved(code: u16) -> Option<Reason> {
    match (code & 0xff, reason(code)) {
        // Corrupt.
        (11, _) => Some(Reason::QueryFailed),
        // The disk is full.
        (13, _) => Some(Reason::Overloaded),
        (_, Reason::QueryFailed) => None,
        (_, reason) => Some(reason),
    }
}

/// The reason of a result code, whose low byte is the primary one.
fn reason(code: u16) -> Reason {
    match code & 0xff {
        // Busy and locked: somebody else holds it.
        5 | 6 => Reason::Overloaded,
        // Out of memory.
        7 => Reason::LocalResource,
        // Interrupted, which our own deadline does.
        9 => Reason::Timeout,
        // The disk fails, or the file cannot be opened.
        10 | CANNOT_OPEN => Reason::Other,
        // The file is not a database.
        26 => Reason::Protocol,
        _ => Reason::QueryFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_statement_is_an_answer_unless_the_database_could_not_serve() {
        for (code, wanted) in [
            (1, None),
            (19, None),
            (2067, None),
            (5, Some(Reason::Overloaded)),
            (10, Some(Reason::Other)),
            (11, Some(Reason::QueryFailed)),
            (13, Some(Reason::Overloaded)),
        ] {
            assert_eq!(unserved(code), wanted, "{code}");
        }
    }

    #[test]
    fn the_code_of_an_error_gives_its_reason() {
        for (code, wanted) in [
            (5, Reason::Overloaded),
            (6, Reason::Overloaded),
            (261, Reason::Overloaded),
            (14, Reason::Other),
            (11, Reason::QueryFailed),
            (26, Reason::Protocol),
            (1, Reason::QueryFailed),
        ] {
            assert_eq!(reason(code), wanted, "{code}");
        }
    }
}
