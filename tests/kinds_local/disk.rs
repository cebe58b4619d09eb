//! The `disk` kind, on a small file system that is filled for real.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vitalsign::{Outcome, Reason, Run};

use crate::support::checks::{check, errors, failure, figure, run};

/// A file system in memory, with 1 MiB of space and 100 inodes; unmounted when dropped.
struct Tmpfs(TempDir);

impl Tmpfs {
    /// None, with a notice, where this process may not mount.
    fn mount() -> Option<Self> {
        let dir = TempDir::new().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "tmpfs"]).arg(dir.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        // Not eprintln!, which the test harness keeps to itself while tests pass.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: a full disk; mounting takes root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Has files take up this many KiB.
    fn fill(&self, kib: usize) {
        fs::write(self.path().join("filling"), vec![1; kib * 1024]).expect("to write");
    }

    async fn run(&self, more: &str) -> Run {
        run(check("disk", &format!("path = '{}'\n{more}", self.path().display()))).await
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_is_a_warning_and_then_a_failure() {
    let Some(disk) = Tmpfs::mount() else { return };
    let more = "warn_free = '50%'";
    let empty = disk.run(more).await;
    assert_eq!((empty.outcome, &empty.message), (Outcome::Success, &None));
    assert_eq!(figure(&empty, "free_ratio"), Some(1.0));
    assert_eq!(figure(&empty, "free_bytes"), Some(1_048_576.0));
    disk.fill(768);
    let warned = disk.run(more).await;
    assert_eq!(warned.outcome, Outcome::Warning);
    let path = disk.path().display();
    let caveat = format!("{path} has 25.0% free (256.0 KiB), less than warn_free = 50%");
    assert_eq!(warned.message, Some(caveat));
    assert_eq!(figure(&warned, "free_ratio"), Some(0.25));
    disk.fill(960);
    let full = disk.run(more).await;
    assert_eq!((full.outcome, full.reason), (Outcome::Failure, Some(Reason::OutOfRange)));
    let text = format!("{path} has 6.2% free (64.0 KiB), less than min_free = 10%");
    assert_eq!(full.message, Some(text));
    assert_eq!(figure(&full, "free_bytes"), Some(65_536.0));
}

#[tokio::test]
async fn a_limit_may_be_a_size() {
    let Some(disk) = Tmpfs::mount() else { return };
    disk.fill(512);
    let run = disk.run("min_free = '512KiB'").await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    let run = disk.run("min_free = '128KiB'\nwarn_free = '513KiB'").await;
    assert_eq!(run.outcome, Outcome::Warning, "{:?}", run.message);
    let run = disk.run("min_free = '513KiB'").await;
    assert_eq!(run.reason, Some(Reason::OutOfRange), "{:?}", run.message);
}

#[tokio::test]
async fn inodes_run_out_as_space_does() {
    let Some(disk) = Tmpfs::mount() else { return };
    // The root of the file system takes the hundredth.
    for n in 0..94 {
        fs::write(disk.path().join(n.to_string()), "").expect("to make a file");
    }
    let run = disk.run("").await;
    assert_eq!(run.reason, Some(Reason::OutOfRange), "{:?}", run.message);
    assert_eq!(figure(&run, "inodes_free_ratio"), Some(0.05));
    assert_eq!(figure(&run, "free_ratio"), Some(1.0));
    let message = run.message.expect("a cause");
    assert!(message.contains(" has 5.0% of its inodes free, less than "), "{message}");
    let run = disk.run("min_free = '5%'\nwarn_free = '6%'").await;
    assert_eq!(run.outcome, Outcome::Warning, "{:?}", run.message);
    let run = disk.run("min_free = '1MiB'").await;
    assert_eq!(run.outcome, Outcome::Success, "a size is one of space: {:?}", run.message);
}

#[tokio::test]
async fn the_extremes_hold_on_any_disk() {
    let run_here = async |more: &str| run(check("disk", &format!("path = '.'\n{more}"))).await;
    let never = run_here("min_free = '0%'").await;
    assert_eq!(never.outcome, Outcome::Success, "{:?}", never.message);
    assert!(figure(&never, "free_ratio").is_some_and(|ratio| (0.0..=1.0).contains(&ratio)));
    let always = run_here("min_free = '1000000TiB'").await;
    assert_eq!(always.reason, Some(Reason::OutOfRange), "{:?}", always.message);
    let warned = run_here("min_free = '0B'\nwarn_free = '1000000TiB'").await;
    assert_eq!(warned.outcome, Outcome::Warning, "{:?}", warned.message);
    // It has no space at all, and so none that could run out.
    let nothing = run(check("disk", "path = '/proc'")).await;
    assert_eq!(nothing.outcome, Outcome::Success, "{:?}", nothing.message);
    assert_eq!(figure(&nothing, "inodes_free_ratio"), None);
}

#[tokio::test]
async fn a_path_that_is_missing_is_told() {
    let failure = failure("disk", "path = '/nowhere/data'").await;
    assert_eq!(failure.reason(), Reason::Other);
    let text = "/nowhere/data cannot be looked at: No such file or directory";
    assert!(failure.message().starts_with(text), "{}", failure.message());
}

#[test]
fn a_warning_that_could_never_come_is_an_error() {
    let told = errors("disk", "path = ''\nwarn_free = '5%'");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("path: the path is empty; write "), "{told:?}");
    let text = "warn_free: it fails first; write more than `min_free`, which is 10%";
    assert_eq!(told[1], text);
    assert_eq!(errors("disk", "path = '/'\nmin_free = '1GiB'\nwarn_free = '1GiB'").len(), 1);
}
