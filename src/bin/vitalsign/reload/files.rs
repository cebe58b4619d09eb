//! Detects that the files of a configuration have changed and are stable again.

use std::time::Duration;

use tokio::time::Instant;
use vitalsign::config::Watch;

/// A content that was the same for so long counts as written to its end.
const STABLE: Duration = Duration::from_secs(1);

/// Longest tick of a file system's clock: for so long two writes may leave the same time.
const TICK: Duration = Duration::from_secs(2);

/// Reports a change of the files once their content has been stable long enough.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) watch: Watch,
    /// The fingerprint of what was read last.
    known: [u8; 32],
    stamp: [u8; 32],
    /// Until then an equal stamp does not mean an equal content.
    doubted_until: Instant,
    /// A fingerprint other than the known one, and since when it stands.
    new: Option<([u8; 32], Instant)>,
}

impl Files {
    pub(super) fn new(watch: Watch, now: Instant) -> Self {
        let known = watch.read_fingerprint();
        let stamp = watch.stamp();
        Self { watch, known, stamp, doubted_until: now + TICK, new: None }
    }

    /// Looks at the files, which takes reading them only after a change.
    pub(super) fn have_changed(&mut self, now: Instant) -> bool {
        let stamp = self.watch.stamp();
        if stamp != self.stamp {
            self.stamp = stamp;
            self.doubted_until = now + TICK;
        } else if now >= self.doubted_until && self.new.is_none() {
            return false;
        }
        let content = self.watch.fingerprint();
        match self.new {
            _ if content == self.known => self.new = None,
            Some((seen, since)) if seen == content => {
                return now.saturating_duration_since(since) >= STABLE;
            }
            _ => self.new = Some((content, now)),
        }
        false
    }

    /// Whether the files hold what they held when they had changed, and what was then `read`.
    pub(super) fn held_still(&self, read: &Watch) -> bool {
        let still = |(content, _)| content == self.watch.fingerprint();
        self.new.is_some_and(still) && read.fingerprint() == read.read_fingerprint()
    }

    /// Watches for changes of what was read just now.
    pub(super) fn follow(&mut self, read: Watch, now: Instant) {
        *self = Self::new(read, now);
    }

    /// Waits for another change than the one that was found.
    pub(super) fn forget_change(&mut self) {
        self.known = self.watch.fingerprint();
        self.new = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use vitalsign::checks::KINDS;
    use vitalsign::config::Loader;

    const VALID: &str = "[checks.own]\nkind = \"sqlite\"\npath = \"own.db\"\n";

    struct Stage {
        folder: tempfile::TempDir,
        files: Files,
        start: Instant,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("vitalsign.toml");
            fs::write(&path, VALID).expect("a file");
            let start = Instant::now();
            let files = Files::new(Loader::new(KINDS).attempt(&path).watch, start);
            Self { folder, files, start }
        }

        fn write(&self, text: &str) {
            fs::write(self.path(), text).expect("a file");
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("vitalsign.toml")
        }

        fn changed_at(&mut self, seconds: u64) -> bool {
            self.files.have_changed(self.start + Duration::from_secs(seconds))
        }
    }

    #[test]
    fn a_change_counts_once_it_has_stood_for_a_second() {
        let mut stage = Stage::new();
        assert!(!stage.changed_at(1));
        stage.write("[checks.half");
        assert!(!stage.changed_at(10));
        assert!(!stage.files.have_changed(stage.start + Duration::from_millis(10_900)));
        stage.write("# whole\n");
        assert!(!stage.changed_at(11), "it is another since");
        assert!(stage.changed_at(12));
        assert!(stage.changed_at(13), "until it is read");
        let read = Loader::new(KINDS).attempt(&stage.path()).watch;
        assert!(stage.files.held_still(&read));
        stage.files.follow(read, stage.start + Duration::from_secs(13));
        assert!(!stage.changed_at(14) && !stage.changed_at(20));
    }

    #[test]
    fn what_was_undone_or_only_touched_is_no_change() {
        let mut stage = Stage::new();
        stage.write("# other\n");
        assert!(!stage.changed_at(10));
        stage.write(VALID);
        assert!(!stage.changed_at(11) && !stage.changed_at(12) && !stage.changed_at(13));
        fs::remove_file(stage.path()).expect("it was there");
        assert!(!stage.changed_at(20));
        assert!(stage.changed_at(21), "it is gone");
        stage.write(VALID);
        assert!(!stage.changed_at(22) && !stage.changed_at(23), "and back");
    }

    #[test]
    fn a_write_between_reading_and_watching_is_noticed() {
        let stage = Stage::new();
        let watch = stage.files.watch.clone();
        stage.write("# since\n");
        let mut files = Files::new(watch, stage.start);
        assert!(!files.have_changed(stage.start + Duration::from_secs(1)));
        assert!(files.have_changed(stage.start + Duration::from_secs(2)));
    }

    #[test]
    fn what_moves_while_it_is_read_is_read_again() {
        let mut stage = Stage::new();
        stage.write("# one\n");
        assert!(!stage.changed_at(10));
        assert!(stage.changed_at(11));
        let read = Loader::new(KINDS).attempt(&stage.path()).watch;
        stage.write("# two\n");
        assert!(!stage.files.held_still(&read));
        assert!(!stage.changed_at(12));
        assert!(stage.changed_at(13));
        let read = Loader::new(KINDS).attempt(&stage.path()).watch;
        assert!(stage.files.held_still(&read));
    }

    #[test]
    fn an_idle_look_reads_no_file() {
        let mut stage = Stage::new();
        assert!(!stage.changed_at(10));
        // A known content that cannot be: it would count as a change if anything was read.
        stage.files.known = [0; 32];
        assert!(!stage.changed_at(11) && !stage.changed_at(20));
    }
}
