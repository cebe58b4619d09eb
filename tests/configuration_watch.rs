//! Which files a configuration is made of, and whether they still hold what was read.

use std::fs;

use crate::configuration::loader;
use crate::configuration_loading::{full, load};

#[test]
fn the_watch_sees_changed_new_and_relinked_files() {
    let folder = full();
    let watch = load(&folder).watch;
    let wanted = [
        "conf.d/../secrets/url",
        "conf.d/included.toml",
        "full.toml",
        "secrets/cert.pem",
        "secrets/key.pem",
        "secrets/token",
    ];
    assert_eq!(watch.files(), wanted.map(|name| folder.path().join(name)));

    let mut seen = vec![watch.fingerprint()];
    let mut changed = |what: &str| {
        let now = watch.fingerprint();
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::write(folder.path().join("secrets/token"), "other").expect("a file");
    changed("a secret");
    fs::write(folder.path().join("conf.d/new.toml"), "").expect("a file");
    changed("a new file");
    let token = folder.path().join("secrets/token");
    fs::remove_file(&token).expect("removed");
    changed("a missing file");
    std::os::unix::fs::symlink("url", &token).expect("a link");
    changed("a link");
    assert_eq!(watch.fingerprint(), watch.fingerprint());
}

#[test]
fn the_watch_knows_what_was_read() {
    let folder = full();
    let watch = load(&folder).watch;
    assert_eq!(watch.read_fingerprint(), watch.fingerprint());
    let stamp = watch.stamp();
    assert_eq!(stamp, watch.stamp());
    fs::write(folder.path().join("secrets/token"), "longer-than-it-was").expect("a file");
    assert_ne!(watch.read_fingerprint(), watch.fingerprint());
    assert_ne!(stamp, watch.stamp());
    let later = load(&folder).watch;
    assert_eq!(later.read_fingerprint(), watch.fingerprint());
}

#[test]
fn a_refused_configuration_names_the_files_that_could_make_it_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vitalsign.toml");
    let missing = loader().attempt(&path);
    assert!(missing.result.is_err());
    assert_eq!(missing.watch.files(), [path.as_path()]);
    let text = "[include]\nfiles = [\"*.more\"]\n[server]\ntoken = { file = \"late\" }\n";
    fs::write(&path, text).expect("a file");
    let refused = loader().attempt(&path);
    assert!(refused.result.is_err());
    let late = folder.path().join("late");
    assert_eq!(refused.watch.files(), [late.as_path(), path.as_path()]);
    assert_eq!(refused.watch.fingerprint(), refused.watch.read_fingerprint());
    fs::write(folder.path().join("a.more"), "").expect("a file");
    assert_ne!(refused.watch.fingerprint(), refused.watch.read_fingerprint());
    let both = missing.watch.and(&refused.watch);
    assert_eq!(both.files().len(), 3, "{both:?}");
}

#[test]
fn a_pipe_is_read_once_and_never_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, "[server]\n").expect("somebody reads it")
    });
    let watch = loader().attempt(&path).watch;
    writer.join().expect("it was written");
    assert_eq!(watch.fingerprint(), watch.read_fingerprint());
}
