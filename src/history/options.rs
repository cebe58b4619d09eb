//! Where a history is kept, and why it cannot be.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::PostgresOptions;

/// How long a history is kept unless told otherwise: 30 days.
const RETENTION: Duration = Duration::from_hours(30 * 24);

/// Where and for whom a [`History`](super::History) is kept.
///
/// It has no `Debug` of the URL, which may hold a password.
#[derive(Clone)]
pub struct HistoryOptions {
    pub(super) place: Place,
    pub(super) service: String,
    pub(super) instance: String,
    pub(super) retention: Duration,
}

/// Where the tables are.
#[derive(Clone)]
pub(super) enum Place {
    /// In this process's memory; gone when it ends.
    Memory,
    /// In a SQLite file.
    File(PathBuf),
    /// In a PostgreSQL database.
    Postgres(Box<PostgresOptions>),
}

impl std::fmt::Debug for HistoryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HistoryOptions")
            .field("backend", &self.place.backend())
            .field("service", &self.service)
            .field("instance", &self.instance)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

impl Place {
    fn of_path(path: PathBuf) -> Self {
        if path.as_os_str() == ":memory:" { Self::Memory } else { Self::File(path) }
    }

    /// The value of the label `backend`.
    pub(super) const fn backend(&self) -> &'static str {
        match self {
            Self::Memory | Self::File(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl HistoryOptions {
    /// A history at `url`: `sqlite:` with a path, or `postgres://…`.
    ///
    /// `service` and `instance` tell several histories in one database apart; a restarted service
    /// finds its own by them.
    ///
    /// # Errors
    /// [`HistoryError::BadUrl`], which does not show it.
    #[cfg(feature = "history")]
    pub fn new(
        url: &str,
        service: impl Into<String>,
        instance: impl Into<String>,
    ) -> Result<Self, HistoryError> {
        let place = match url.split_once(':') {
            Some(("sqlite", rest)) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    return Err(HistoryError::BadUrl);
                }
                Place::of_path(path.into())
            }
            Some(("postgres" | "postgresql", _)) => {
                let options = url.parse().map_err(|_| HistoryError::BadUrl)?;
                Place::Postgres(Box::new(options))
            }
            _ => return Err(HistoryError::BadUrl),
        };
        Ok(Self::at(place, service.into(), instance.into()))
    }

    /// A history in the SQLite file at `path`, which is made if it is missing; `:memory:` is one
    /// [in memory](Self::in_memory).
    #[cfg(feature = "history")]
    pub fn file(
        path: impl Into<PathBuf>,
        service: impl Into<String>,
        instance: impl Into<String>,
    ) -> Self {
        Self::at(Place::of_path(path.into()), service.into(), instance.into())
    }

    /// A history that ends with the process.
    #[cfg(feature = "history")]
    pub fn in_memory(service: impl Into<String>, instance: impl Into<String>) -> Self {
        Self::at(Place::Memory, service.into(), instance.into())
    }

    const fn at(place: Place, service: String, instance: String) -> Self {
        Self { place, service, instance, retention: RETENTION }
    }

    /// How long it is kept. Default 30 days; single runs are kept for an hour and minutes for two
    /// days at most.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }
}

/// Why a history cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It is no URL of a store.
    #[error("no place to keep a history; right is `sqlite:PATH` or `postgres://…`")]
    BadUrl,
    /// The SQLite file cannot be opened or made.
    #[error("cannot keep the history in `{}`: {cause}; name a file that can be written", path.display())]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        cause: String,
    },
    /// A newer vitalsign has written it.
    #[error(
        "the history store has schema {found}, and this version knows none after {known}; run the \
         version that wrote it, or keep the history elsewhere"
    )]
    Newer {
        /// The newest schema that the store has had applied.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// The thread that keeps it cannot be started.
    #[error("cannot start the thread that keeps the history: {0}")]
    Thread(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let of = |url: &str| HistoryOptions::new(url, "orders", "one");
        let good = of("postgres://user:hunter2@db/orders").expect("a URL");
        let bad = of("postgres://user:hunter2@db:port/orders").expect_err("no URL");
        let texts = [format!("{good:?}"), format!("{bad:?}"), bad.to_string()];
        assert!(texts.iter().all(|text| !text.contains("hunter2")), "{texts:?}");
    }

    #[test]
    fn a_path_may_have_the_slashes_of_a_url() {
        for (url, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite://a.db", "a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite:/var/a.db", "/var/a.db"),
        ] {
            let options = HistoryOptions::new(url, "", "").expect("a URL");
            assert!(matches!(&options.place, Place::File(p) if p.as_os_str() == path), "{url}");
        }
        for url in ["sqlite:", "mysql://db", "off", ""] {
            assert!(HistoryOptions::new(url, "", "").is_err(), "{url}");
        }
    }
}
