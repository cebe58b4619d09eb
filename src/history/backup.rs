//! A consistent copy of a history in SQLite, taken while a service writes it.
//!
//! A plain copy of the file misses what is still in the write-ahead log, and may mix pages of
//! different moments. `VACUUM INTO` reads one moment, the log included, and keeps no writer waiting.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _};

/// Longest wait for a lock on the file, which a service holds for moments only.
const BUSY: Duration = Duration::from_secs(10);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no history in `{}`; name the configuration of the service that keeps it", .0.display())]
    NoHistory(PathBuf),
    /// Something has the name of the copy.
    #[error("`{}` exists and is left as it is; choose another name", .0.display())]
    Exists(PathBuf),
    /// The copy cannot be written.
    #[error("cannot write `{}`: {cause}", path.display())]
    CannotWrite {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The history cannot be read.
    #[error("cannot copy the history in `{}`: {cause}", path.display())]
    CannotCopy {
        /// The history.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
}

/// Copies the history in the SQLite file `from` to the new file `to`, as it is at one moment; returns
/// how many bytes the copy has. A service may write the history meanwhile.
///
/// Only the owner may read the copy. It has its name once it is complete and on disk.
///
/// # Errors
/// [`BackupError`] when there is nothing to copy, `to` exists, or reading or writing fails.
pub async fn backup(from: &Path, to: &Path) -> Result<u64, BackupError> {
    if !from.is_file() {
        return Err(BackupError::NoHistory(from.to_owned()));
    }
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let cannot_write = |cause| BackupError::CannotWrite { path: to.to_owned(), cause };
    let unfinished = Unfinished::new(to).map_err(cannot_write)?;
    if let Err(error) = copy(from, &unfinished.path).await {
        return Err(BackupError::CannotCopy { path: from.to_owned(), cause: error.to_string() });
    }
    let written = unfinished.finish(to);
    written.map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => cannot_write(cause),
    })
}

async fn copy(from: &Path, to: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(from).busy_timeout(BUSY);
    let mut conn = options.disable_statement_logging().connect().await?;
    let to = to.to_str().ok_or_else(|| {
        sqlx::Error::Configuration("SQLite takes no path that is not UTF-8".into())
    })?;
    let result = sqlx::query("VACUUM INTO ?").bind(to.to_owned()).execute(&mut conn).await;
    conn.close().await?;
    result.map(drop)
}

/// A copy under a name of its own, which is removed unless it is finished.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// An empty file beside `to` that nobody else may read: SQLite fills it and leaves its mode.
    fn new(to: &Path) -> std::io::Result<Self> {
        let name = to.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
        let folder = folder(to).canonicalize()?;
        let mut unfinished = std::ffi::OsString::from(".");
        unfinished.push(name);
        unfinished.push(format!(".{}", std::process::id()));
        let path = folder.join(unfinished);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path })
    }

    /// Makes it the file `to`, once it is on disk, unless something has that name by then.
    fn finish(self, to: &Path) -> std::io::Result<u64> {
        let file = File::open(&self.path)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // A file system that cannot do it as one step.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if to.symlink_metadata().is_ok() {
                    return Err(std::io::ErrorKind::AlreadyExists.into());
                }
                std::fs::rename(&self.path, to)?;
            }
            Err(error) => return Err(error.into()),
        }
        File::open(folder(to))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is gone once it has its name.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
