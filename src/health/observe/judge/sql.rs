//! What an error of sqlx says.

use sqlx::Error;
use sqlx::error::DatabaseError;

use super::cause::failed;
use crate::checks::sql::{Dialect, of_io, of_tls};
use crate::health::observe::observation::Observation;
use crate::model::Reason;

pub(super) fn judge(error: &Error) -> Observation {
    let reason = match error {
        Error::Database(of_server) => match unserved(of_server.as_ref()) {
            Some(reason) => reason,
            // A violated constraint, a table that is not there: it answered.
            None => return Observation::Success,
        },
        Error::Io(error) => of_io(error).0,
        Error::Tls(error) => of_tls(error.as_ref()).unwrap_or(Reason::TlsFailed),
        Error::Protocol(_) | Error::BeginFailed => Reason::Protocol,
        // It tried to connect until its own timeout, or all connections are in use.
        Error::PoolTimedOut => Reason::Timeout,
        Error::WorkerCrashed => Reason::Other,
        Error::RowNotFound
        | Error::TypeNotFound { .. }
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnDecode { .. }
        | Error::Decode(_) => return Observation::Success,
        // It was not asked: the host closed the pool, or what it would ask is wrong.
        _ => return Observation::Ignored,
    };
    failed(reason, error)
}

/// Why the server could not serve, by the family of databases that it is of.
#[allow(unused_variables, reason = "a build may have no family")]
fn unserved(error: &dyn DatabaseError) -> Option<Reason> {
    #[cfg(feature = "postgres-pool")]
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return sqlx::Postgres::unserved(error);
    }
    #[cfg(feature = "mysql-pool")]
    if error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().is_some() {
        return sqlx::MySql::unserved(error);
    }
    #[cfg(feature = "sqlite-pool")]
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return sqlx::Sqlite::unserved(error);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn reason(error: &Error) -> Option<Reason> {
        match judge(error) {
            Observation::Failure(reason, _) => Some(reason),
            _ => None,
        }
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        for (error, wanted) in [
            (Error::Io(io::ErrorKind::ConnectionRefused.into()), Reason::ConnectionRefused),
            (Error::Io(io::ErrorKind::UnexpectedEof.into()), Reason::ConnectionReset),
            (Error::PoolTimedOut, Reason::Timeout),
            (Error::Protocol("unexpected message".into()), Reason::Protocol),
        ] {
            assert_eq!(reason(&error), Some(wanted), "{error}");
        }
    }

    #[test]
    fn an_answer_is_a_success_and_what_was_not_asked_counts_nothing() {
        let missing = || "none".to_owned();
        for error in [Error::RowNotFound, Error::ColumnNotFound(missing())] {
            assert_eq!(judge(&error), Observation::Success, "{error}");
        }
        for error in [Error::PoolClosed, Error::Configuration(missing().into())] {
            assert_eq!(judge(&error), Observation::Ignored, "{error}");
        }
    }

    #[cfg(feature = "sqlite-pool")]
    #[tokio::test]
    async fn errors_of_statements_are_answers() {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.expect("a database");
        let run = async |sql: &'static str| sqlx::raw_sql(sql).execute(&pool).await;
        run("CREATE TABLE books (title TEXT PRIMARY KEY)").await.expect("a table");
        run("INSERT INTO books VALUES ('emma')").await.expect("a row");
        for sql in ["INSERT INTO books VALUES ('emma')", "SELECT * FROM films", "SELECT"] {
            let error = run(sql).await.expect_err("it is refused");
            assert_eq!(judge(&error), Observation::Success, "{error}");
        }
        let error = sqlx::query("SELECT * FROM books WHERE title = 'x'").fetch_one(&pool).await;
        assert_eq!(judge(&error.expect_err("no row")), Observation::Success);
        pool.close().await;
        let error = run("SELECT 1").await.expect_err("the pool is closed");
        assert_eq!(judge(&error), Observation::Ignored);
    }
}
