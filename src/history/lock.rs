//! A lock that keeps a second process off the SQLite file of a history.
//!
//! Each process folds what happens in its own memory and writes whole rows. Two of them on one file
//! would overwrite each other's rows. SQLite's own locks last for a transaction and do not prevent
//! that.
//!
//! # How it is held
//!
//! The lock is one of the system's (`flock`) on a file beside the database, `NAME-lock`. It ends with
//! the process, however that ends, so a lock is never stale and the file may stay. It says which
//! process holds it, for the message to the second one. Histories of one process share the lock:
//! they are instances of their own, and each keeps to its rows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::{HistoryError, StoreError};

/// Longest text of a holder that is read.
const HOLDER: u64 = 200;

/// The locks that this process holds, by the file that is locked.
static HELD: Mutex<Vec<(PathBuf, Weak<FileLock>)>> = Mutex::new(Vec::new());

/// The right to write the file; it ends when the last of its clones does.
#[derive(Debug)]
pub(super) struct FileLock {
    /// Its end releases the lock.
    _file: File,
}

impl FileLock {
    /// Locks the database at `path` for the service `holder`.
    ///
    /// # Errors
    /// [`HistoryError::InUse`] while another process has it.
    pub(super) fn acquire(path: &Path, holder: &str) -> Result<Arc<Self>, StoreError> {
        let refused = |error: &std::io::Error| {
            let cause = error.to_string();
            StoreError::from(HistoryError::CannotOpen { path: path.to_owned(), cause })
        };
        let place = lock_file(path);
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(_, lock)| lock.strong_count() > 0);
        let known = held.iter().find(|(known, _)| *known == place);
        if let Some(lock) = known.and_then(|(_, lock)| lock.upgrade()) {
            return Ok(lock);
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&place).map_err(|error| refused(&error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let holder = read_holder(&mut file);
                return Err(HistoryError::InUse { path: path.to_owned(), holder }.into());
            }
            // Some file systems have no locks; there the name and instance must do.
            Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
            Err(error) => return Err(refused(&error.into())),
        }
        let lines = format!("process {} ({holder})\n", std::process::id());
        // The lock holds without it, as on a disk that is full.
        let _ = file.set_len(0).and_then(|()| file.write_all(lines.as_bytes()));
        let lock = Arc::new(Self { _file: file });
        held.push((place, Arc::downgrade(&lock)));
        Ok(lock)
    }
}

/// The file beside the database, by its true path: a link to the database must not have another.
fn lock_file(path: &Path) -> PathBuf {
    let parent = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(parent.join(path.file_name()?))
    };
    let database = path.canonicalize().ok().or_else(|| parent(path));
    let mut name = database.unwrap_or_else(|| path.to_owned()).into_os_string();
    name.push("-lock");
    name.into()
}

/// Who holds the lock, as it wrote.
fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read =
        file.rewind().and_then(|()| Read::by_ref(file).take(HOLDER).read_to_string(&mut text));
    let line = text.lines().next().unwrap_or_default().trim();
    if read.is_err() || line.is_empty() { "another process".to_owned() } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_of_one_process_share_the_lock_by_whatever_path() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let first = FileLock::acquire(&path, "orders").expect("the lock");
        let second = FileLock::acquire(&dir.path().join(".").join("a.db"), "orders");
        assert!(Arc::ptr_eq(&first, &second.expect("the same lock")));
        let other = FileLock::acquire(&dir.path().join("b.db"), "orders").expect("another");
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn another_holder_is_named_and_its_end_frees_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        // As another process would have it: by a descriptor that the list does not know.
        let mut theirs = File::create(lock_file(&path)).expect("a file");
        theirs.write_all(b"process 42 (orders, orders-1)\n").expect("to write");
        flock(&theirs, FlockOperation::NonBlockingLockExclusive).expect("the lock");
        let error = FileLock::acquire(&path, "late").expect_err("it is held").to_string();
        assert!(error.contains("process 42 (orders, orders-1)"), "{error}");
        drop(theirs);
        FileLock::acquire(&path, "late").expect("the lock");
    }
}
