//! Errors of the history and of its store.

use std::path::PathBuf;

/// Why a history cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The text is not the URL of a store.
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
    /// Another process keeps its history in the SQLite file.
    #[error(
        "`{}` is the history of another vitalsign, {holder}; stop that one, or name another file in \
         `history.url`", path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process, as it says itself.
        holder: String,
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

/// Why a request to the store failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// It may work later.
    #[error("{0}")]
    Trouble(String),
    /// The file is not a SQLite file, or is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// It will not work until somebody fixes it.
    #[error(transparent)]
    Hopeless(#[from] HistoryError),
}
