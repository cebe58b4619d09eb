//! Configuration: from a TOML file and the environment to checks and settings.
//!
//! ```text
//! text ─► parse ─► prepare ─► read ─► rules ─► Loaded
//!         spans,   secrets,   serde,  what types
//!         ${NAME}  unknown    all     cannot say
//!                  keys       errors
//! ```
//!
//! Every error is found in one go, each with its position; see [`Diagnostic`]. No message ever
//! holds a secret.

use std::env::VarError;
use std::net::SocketAddr;
use std::path::Path;

use crate::engine::check::Declared;

mod address;
mod checks;
mod depends;
mod diagnostics;
mod embedded;
mod expand;
pub mod kind;
mod load;
mod names;
mod parse;
#[cfg(feature = "tls")]
mod pem;
#[cfg(not(feature = "tls"))]
#[path = "pem_absent.rs"]
mod pem;
mod prepare;
mod read;
mod redaction;
mod reference;
mod rules;
mod schema;
mod sections;
mod settings;
mod share;
mod tree;
pub mod values;
mod watch;
mod windows;

pub use crate::model::Details;
pub use address::{Listen, NotAnAddress};
pub use diagnostics::{ConfigError, Diagnostic};
pub use kind::{Kind, KindOptions, OptionError, Parsed};
pub use reference::{Choice, KindEntry, OptionEntry, Reference, Table, TypeEntry, UnknownKind};
pub use schema::schema;
pub use settings::{
    Alertmanager, HISTORY_FILE, History, HistoryPlace, LogFormat, LogLevel, Server, ServerTls,
    Service, Settings, Telemetry, TracesProtocol,
};
pub use share::SizeOrShare;
pub use values::{ByteSize, ConfigPath, Count, Period, Secret, Tls, TlsOptions};
pub use watch::Watch;

#[cfg(any(feature = "sql", feature = "tls"))]
pub(crate) use redaction::Redaction;

use expand::Environment;
use load::Loading;

/// The file that is read from the working directory when none is named.
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

/// A valid configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// Every section but the checks, with defaults filled in.
    pub settings: Settings,
    /// The enabled checks, sorted by name, with defaults filled in.
    pub checks: Vec<NamedCheck>,
    /// The names of checks with `enabled = false`, sorted.
    pub disabled: Vec<String>,
    /// What is allowed but worth a word at start.
    pub warnings: Vec<Diagnostic>,
    /// The files it was made of.
    pub watch: Watch,
    /// Whether the file holds nothing but white space and comments.
    pub blank: bool,
}

/// What came of reading a configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The configuration, or all that is wrong with it.
    pub result: Result<Loaded, ConfigError>,
    /// The files that were read, or should have been, as far as they are known: when one of them
    /// changes, the result may.
    pub watch: Watch,
}

/// A check with its name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamedCheck {
    /// `[a-z0-9][a-z0-9_-]{0,62}`, unique.
    pub name: String,
    /// The check and what was declared about it, with every option set.
    pub declared: Declared,
}

impl NamedCheck {
    /// Digest of all that it was made of, secrets and certificates included: equal for equal
    /// declarations, so that a reload leaves such a check alone.
    #[must_use]
    pub fn revision(&self) -> [u8; 32] {
        self.declared.revision.unwrap_or_default()
    }
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
        Loading::new(self).file(path)
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
                // It may come to be.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                loaded.watch.read.missed(&path);
                Ok(loaded)
            }
            _ => self.load(path),
        }
    }

    /// The configuration of a service that is given none: one check, `database`, of the database
    /// at `DATABASE_URL` (Postgres, MySQL or SQLite by its scheme), else of the SQLite file
    /// `vitalsign.db`, or of one in memory, with a warning, where that cannot be written.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when `DATABASE_URL` cannot be used; it is not shown.
    pub fn built_in(&self) -> Result<Loaded, ConfigError> {
        self.built_in_with(embedded::Own::here())
    }

    fn built_in_with(&self, own: embedded::Own) -> Result<Loaded, ConfigError> {
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
        if own == embedded::Own::Memory && self.environment.non_empty("DATABASE_URL").is_none() {
            loaded.warnings.push(diagnostic(embedded::IN_MEMORY));
        }
        Ok(loaded)
    }

    /// Loads a text that is in no file. `name` stands for it in diagnostics; relative paths start
    /// from the working directory.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse(&self, name: &str, text: &str) -> Result<Loaded, ConfigError> {
        Loading::new(self).text(name, text).result
    }
}
