//! The `file` kind, on files that are written, aged and taken away.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use vitalsign::{Outcome, Reason, Run};

use crate::support::checks::{check, errors, failure, figure, run};

const HOUR: Duration = Duration::from_hours(1);

/// A file of so many bytes that was last written so long ago.
fn file(dir: &TempDir, bytes: usize, age: Duration) -> String {
    let path = dir.path().join("backup");
    fs::write(&path, vec![b'x'; bytes]).expect("to write");
    let file = File::options().write(true).open(&path).expect("the file");
    file.set_modified(SystemTime::now() - age).expect("to set its time");
    path.display().to_string()
}

async fn look(path: impl AsRef<Path>, more: &str) -> Run {
    run(check("file", &format!("path = '{}'\n{more}", path.as_ref().display()))).await
}

fn dir() -> TempDir {
    TempDir::new().expect("a directory")
}

#[tokio::test]
async fn a_file_that_exists_is_enough_unless_more_is_asked() {
    let dir = dir();
    let run = look(file(&dir, 7, 2 * HOUR), "").await;
    assert_eq!((run.outcome, &run.message), (Outcome::Success, &None));
    assert_eq!(figure(&run, "file_size_bytes"), Some(7.0));
    let age = figure(&run, "file_age_seconds").expect("an age");
    assert!((7200.0..7260.0).contains(&age), "{age}");
}

#[tokio::test]
async fn a_file_that_grows_old_is_a_warning_and_then_a_failure() {
    let dir = dir();
    let options = "warn_age = '1h'\nmax_age = '2h'";
    let fresh = look(file(&dir, 1, HOUR / 2), options).await;
    assert_eq!(fresh.outcome, Outcome::Success, "{:?}", fresh.message);
    let path = file(&dir, 1, HOUR + HOUR / 2);
    let warned = look(&path, options).await;
    assert_eq!(warned.outcome, Outcome::Warning);
    let message = warned.message.expect("a caveat");
    assert!(message.starts_with(&format!("{path} was written 1h 30m")), "{message}");
    assert!(message.ends_with(" ago, longer than warn_age = 1h"), "{message}");
    let old = look(file(&dir, 1, 3 * HOUR), options).await;
    assert_eq!((old.outcome, old.reason), (Outcome::Failure, Some(Reason::OutOfRange)));
    let message = old.message.expect("a cause");
    assert!(message.ends_with(" ago, longer than max_age = 2h"), "{message}");
    assert!(old.measurements.len() == 2, "a failed run tells its figures too");
}

#[tokio::test]
async fn a_time_in_the_future_counts_as_now() {
    let dir = dir();
    let path = file(&dir, 1, Duration::ZERO);
    let handle = File::options().write(true).open(&path).expect("the file");
    handle.set_modified(SystemTime::now() + HOUR).expect("to set its time");
    let run = look(path, "max_age = '1s'").await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert_eq!(figure(&run, "file_age_seconds"), Some(0.0));
}

#[tokio::test]
async fn the_size_must_lie_between_its_limits() {
    let dir = dir();
    let path = file(&dir, 1024, Duration::ZERO);
    for (options, told) in [
        ("min_size = '1KiB'", None),
        ("max_size = 1024", None),
        ("min_size = 1025", Some("has 1024 bytes, less than min_size = 1.0 KiB")),
        ("max_size = 1023", Some("has 1024 bytes, more than max_size = 1023 B")),
    ] {
        let run = look(&path, options).await;
        assert_eq!(run.reason, told.map(|_| Reason::OutOfRange), "{options}");
        assert_eq!(run.message, told.map(|told| format!("{path} {told}")));
    }
}

#[tokio::test]
async fn a_directory_exists_and_has_no_size() {
    let dir = dir();
    let run = look(&dir, "max_age = '1h'").await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    assert_eq!(figure(&run, "file_size_bytes"), None);
    let run = look(&dir, "min_size = 1").await;
    assert_eq!(run.reason, Some(Reason::OutOfRange));
    let message = run.message.expect("a cause");
    assert!(message.ends_with(" is no regular file, so it has no size"), "{message}");
}

#[tokio::test]
async fn a_file_that_is_missing_is_told_and_a_link_is_what_it_leads_to() {
    let missing = failure("file", "path = '/nowhere/backup'").await;
    assert_eq!(missing.reason(), Reason::Other);
    let text = "/nowhere/backup cannot be looked at: No such file or directory";
    assert!(missing.message().starts_with(text), "{}", missing.message());

    let dir = dir();
    let path = file(&dir, 5, Duration::ZERO);
    let link = dir.path().join("link");
    symlink(&path, &link).expect("a link");
    assert_eq!(figure(&look(&link, "").await, "file_size_bytes"), Some(5.0));
    fs::remove_file(&path).expect("to remove it");
    assert_eq!(look(&link, "").await.reason, Some(Reason::Other), "it leads nowhere");
}

#[tokio::test]
async fn a_file_behind_a_closed_directory_is_refused_access() {
    let dir = dir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("a directory");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("to close it");
    if fs::read_dir(&closed).is_ok() {
        // Not eprintln!, which the test harness keeps to itself while tests pass.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: a closed directory; it is open to root");
        return;
    }
    let run = look(closed.join("backup"), "").await;
    assert_eq!((run.outcome, run.reason), (Outcome::Failure, Some(Reason::AuthFailed)));
}

#[test]
fn options_that_contradict_each_other_are_errors() {
    let told =
        errors("file", "path = ''\nwarn_age = '2h'\nmax_age = '1h'\nmin_size = 2\nmax_size = 1");
    assert!(told[0].starts_with("path: the path is empty; write "), "{told:?}");
    let text = "warn_age: it fails first; write less than `max_age`, which is 1h";
    assert_eq!(told[1], text);
    assert_eq!(told[2], "max_size: no size will do; write at least `min_size`, which is 2 B");
    assert_eq!(told.len(), 3);
}
