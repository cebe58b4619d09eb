//! [`HistoryOptions`]: the place of a history, its owner, and how long it is kept (`retention`,
//! default 30 days).

use std::path::PathBuf;
use std::time::Duration;

use super::error::HistoryError;
use crate::model::Secret;
use crate::model::log_targets;
use crate::net::database::PostgresServers;

/// How long a history is kept by default: 30 days.
const RETENTION: Duration = Duration::from_hours(30 * 24);

/// The application name of sessions with PostgreSQL.
const APPLICATION: &str = "vitalsign history";

/// The options of a [`History`](super::History).
///
/// `Debug` does not show the URL, which may contain a password.
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
    Postgres(Box<PostgresServers>),
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
    /// A history at `url`: `sqlite:` with a path, or `postgres://…` as the kind `postgres` reads
    /// it.
    ///
    /// `service` and `instance` distinguish several histories in one database; a restarted service
    /// finds its own by them.
    ///
    /// # Errors
    /// [`HistoryError::BadUrl`], which does not show it.
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
            None => return Err(HistoryError::BadUrl),
            Some(_) => {
                let mut errors = Vec::new();
                let servers = PostgresServers::read(&Secret::new(url), &mut errors);
                let (Some(servers), []) = (servers, errors.as_slice()) else {
                    return Err(HistoryError::BadUrl);
                };
                if let Some(warning) = servers.warning() {
                    tracing::warn!(target: log_targets::HISTORY, "history.url: {warning}");
                }
                let servers = servers.with(|options| options.application_name(APPLICATION));
                Place::Postgres(Box::new(servers))
            }
        };
        Ok(Self::at(place, service.into(), instance.into()))
    }

    /// A history in the SQLite file at `path`, which is made if it is missing; `:memory:` is one
    /// [in memory](Self::in_memory).
    pub fn file(
        path: impl Into<PathBuf>,
        service: impl Into<String>,
        instance: impl Into<String>,
    ) -> Self {
        Self::at(Place::of_path(path.into()), service.into(), instance.into())
    }

    /// A history that ends with the process.
    pub fn in_memory(service: impl Into<String>, instance: impl Into<String>) -> Self {
        Self::at(Place::Memory, service.into(), instance.into())
    }

    const fn at(place: Place, service: String, instance: String) -> Self {
        Self { place, service, instance, retention: RETENTION }
    }

    /// Whose history it is, for people.
    pub(super) fn holder(&self) -> String {
        format!("{}, {}", self.service, self.instance)
    }

    /// How long it is kept. Default 30 days; single runs are kept for an hour and minutes for two
    /// days at most, days for 400 days at least.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_means_what_it_means_to_a_check() {
        let of = |url: &str| HistoryOptions::new(url, "orders", "one");
        for url in [
            "postgres://user@[::1]:5432/orders",
            "postgresql+asyncpg://user@one:1,two:2/orders?schema=public",
        ] {
            let options = of(url).expect("a URL");
            assert!(matches!(&options.place, Place::Postgres(_)), "{url}");
        }
        let ipv6 = of("postgres://user@[::1]:5432/orders").expect("a URL");
        let Place::Postgres(servers) = ipv6.place else { panic!("no server") };
        assert_eq!(servers.first().get_host(), "::1");
        assert!(of("postgres://user@db/orders?sslmode=perhaps").is_err());
    }

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
