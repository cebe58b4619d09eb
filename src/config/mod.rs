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

mod address;
mod checks;
mod choices;
mod closed_list;
mod common_options;
mod defaults;
mod depends;
mod diagnostics;
mod elsewhere;
mod embedded;
mod expand;
mod external;
mod groups;
pub mod kind;
mod load;
mod loaded;
mod loader;
mod names;
mod parse;
#[cfg(feature = "tls")]
mod pem;
#[cfg(not(feature = "tls"))]
#[path = "pem_absent.rs"]
mod pem;
mod prepare;
mod read;
mod reference;
mod rules;
mod schema;
mod sections;
mod settings;
mod tree;
pub mod values;
mod watch;
mod web_url;
mod windows;

pub use crate::model::Details;
pub use address::{Listen, NotAnAddress};
pub use choices::{LogFormat, LogLevel, TracesProtocol};
pub use diagnostics::{ConfigError, Diagnostic};
pub use external::{ExternalValue, Origin};
pub use kind::{Kind, KindOptions, OptionError, Parsed};
pub use loaded::{Attempt, Loaded, NamedCheck};
pub use loader::{DEFAULT_FILE, Loader};
pub use reference::{Choice, KindEntry, OptionEntry, Reference, Table, TypeEntry, UnknownKind};
pub use schema::schema;
pub use settings::{
    Alertmanager, HISTORY_FILE, History, HistoryPlace, Server, Service, Settings, Telemetry,
};
pub use values::{
    ByteSize, ConfigPath, Count, Period, Secret, ServerTls, SizeOrShare, Tls, TlsOptions,
};
pub use watch::Watch;

#[cfg(any(feature = "otlp", feature = "session", feature = "sql"))]
pub(crate) use crate::model::Redaction;
pub(crate) use values::SHORT_TOKEN;
#[cfg(any(feature = "http", feature = "otlp", feature = "session"))]
#[cfg_attr(not(feature = "kinds"), allow(unused_imports, reason = "some kinds take no URL"))]
pub(crate) use web_url::names_several_hosts;
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
pub(crate) use web_url::web_url;
