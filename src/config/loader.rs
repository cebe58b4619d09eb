//! The entry point: which kinds, variables and address a configuration is loaded with.

use std::env::VarError;
use std::net::SocketAddr;
use std::path::Path;

use super::address::Listen;
use super::diagnostics::{ConfigError, Diagnostic};
use super::embedded;
use super::expand::Environment;
use super::kind::Kind;
use super::load::Loading;
use super::loaded::{Attempt, Loaded};

/// The file in the working directory that is read when no other is named.
pub const DEFAULT_FILE: &str = "vitalsign.toml";

/// Loads configurations.
///
/// ```no_run
/// use vitalsign::{checks::KINDS, config::Loader};
///
/// let loaded = Loader::new(KINDS).load("vitalsign.toml".as_ref())?;
/// println!("{} checks", loaded.checks.len());
/// # Ok::<(), vitalsign::config::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    kinds: &'static [Kind],
    environment: Environment,
    listen: Option<Listen>,
}

impl Loader {
    /// A loader that knows `kinds` and reads the process's environment.
    #[must_use]
    pub fn new(kinds: &'static [Kind]) -> Self {
        Self { kinds, environment: Environment::of_process(), listen: None }
    }

    /// Reads variables with `lookup`, which answers as [`std::env::var`] does.
    #[must_use]
    pub fn environment(
        mut self,
        lookup: impl Fn(&str) -> Result<String, VarError> + Send + Sync + 'static,
    ) -> Self {
        self.environment = Environment::new(lookup);
        self
    }

    /// Listens on `address`, whatever the file says.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(Listen(address));
        self
    }

    /// Loads the file at `path` and those that it includes.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] and [`ConfigError::NotUtf8`] for `path` itself;
    /// [`ConfigError::Invalid`] with all that is wrong in it, its included files, and the files
    /// of its secrets and certificates.
    pub fn load(&self, path: &Path) -> Result<Loaded, ConfigError> {
        self.attempt(path).result
    }

    /// Loads as [`load`](Self::load) does, and says which files to watch even when it fails.
    #[must_use]
    pub fn attempt(&self, path: &Path) -> Attempt {
        self.loading().file(path)
    }

    /// Loads [`DEFAULT_FILE`] where there is one, else the [built-in](Self::built_in)
    /// configuration.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_default(&self) -> Result<Loaded, ConfigError> {
        let path = Path::new(DEFAULT_FILE);
        match path.try_exists() {
            Ok(false) => {
                let mut loaded = self.built_in()?;
                // The file may be created later.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                loaded.watch.read.missed(&path);
                Ok(loaded)
            }
            _ => self.load(path),
        }
    }

    /// The built-in configuration of a service without a file: one check, `database`, of the
    /// database at `DATABASE_URL` (Postgres, MySQL or SQLite by its scheme), else of the SQLite
    /// file `vitalsign.db`. If that cannot be written, it is a database in memory, and a warning is
    /// given.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when `DATABASE_URL` cannot be used; it is not shown.
    pub fn built_in(&self) -> Result<Loaded, ConfigError> {
        self.built_in_with(embedded::DefaultDatabase::here())
    }

    pub(super) fn built_in_with(
        &self,
        own: embedded::DefaultDatabase,
    ) -> Result<Loaded, ConfigError> {
        let diagnostic = |message: &str| Diagnostic {
            file: embedded::NAME.to_owned(),
            line: 1,
            column: 1,
            path: "checks.database".to_owned(),
            message: message.to_owned(),
        };
        let text = embedded::text(&self.environment, own)
            .map_err(|message| ConfigError::Invalid(vec![diagnostic(message)]))?;
        let mut loaded = self.parse(embedded::NAME, &text)?;
        if own == embedded::DefaultDatabase::Memory
            && self.environment.non_empty("DATABASE_URL").is_none()
        {
            loaded.warnings.push(diagnostic(embedded::IN_MEMORY));
        }
        Ok(loaded)
    }

    /// Loads a text that is not in a file. `name` is its name in diagnostics; relative paths start
    /// from the working directory.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse(&self, name: &str, text: &str) -> Result<Loaded, ConfigError> {
        self.loading().text(name, text).result
    }

    fn loading(&self) -> Loading<'_> {
        Loading::new(self.kinds, &self.environment, self.listen)
    }
}
