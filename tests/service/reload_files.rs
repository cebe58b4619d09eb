//! The many ways in which files change.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::reload::{OWN, REFUSED, RELOADED, counts, put, tcp};
use crate::support::service::Service;

#[tokio::test]
async fn a_changed_file_is_taken_up_however_it_was_written() {
    let service = Service::start(OWN).await;
    let path = service.file("vitalsign.toml");
    let with = |name: &str| format!("{OWN}{}", tcp(name, 9, "gates = []"));
    let in_force = async |name: &str| {
        let route = format!("/status/{name}");
        service.get_until(&route, |answer| answer.status == 200).await;
    };

    put(&path, &with("renamed"));
    in_force("renamed").await;

    // Half of it is no configuration; nobody is to hear of that.
    let text = with("rewritten");
    fs::write(&path, &text[..text.len() / 2]).expect("a file");
    fs::write(&path, text).expect("a file");
    in_force("rewritten").await;
    assert_eq!(service.said(REFUSED), Vec::<Value>::new());

    fs::remove_file(&path).expect("it was there");
    service.says(REFUSED, 1).await;
    in_force("rewritten").await;
    fs::write(&path, with("recreated")).expect("a file");
    in_force("recreated").await;

    let elsewhere = service.file("elsewhere.toml");
    fs::write(&elsewhere, with("linked")).expect("a file");
    fs::remove_file(&path).expect("it was there");
    std::os::unix::fs::symlink(&elsewhere, &path).expect("a link");
    in_force("linked").await;
    put(&elsewhere, &with("beyond"));
    in_force("beyond").await;
    assert_eq!(service.get("/status/linked").await.status, 404);
}

/// Starts the binary on a file below its folder, rather than on the default.
fn on(file: &'static str) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env("VITALSIGN_CONFIG", file);
    }
}

/// Swaps the contents of a folder as Kubernetes does: files are links through `..data`, which is
/// a link that is renamed into place.
fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    let data = folder.join(version);
    fs::create_dir_all(&data).expect("a folder");
    for (name, text) in files {
        fs::write(data.join(name), text).expect("a file");
        let link = folder.join(name);
        if !link.is_symlink() {
            let target = Path::new("..data").join(name);
            std::os::unix::fs::symlink(target, link).expect("a link");
        }
    }
    let fresh = folder.join("..data_tmp");
    std::os::unix::fs::symlink(version, &fresh).expect("a link");
    fs::rename(fresh, folder.join("..data")).expect("in its place");
}

#[tokio::test]
async fn mounted_files_are_taken_up_when_their_folder_is_swapped() {
    let file = "mounted/vitalsign.toml";
    let included = "[include]\nfiles = [\"*.checks\"]\n";
    let main = format!("{OWN}{included}");
    let a = tcp("a", 9, "gates = []");
    let folder = |command: &Command| command.get_current_dir().expect("one").join("mounted");
    let first = [("vitalsign.toml", main.as_str()), ("a.checks", a.as_str())];
    let service = Service::start_with("", |command| {
        mount(&folder(command), "..1", &first);
        on(file)(command);
    })
    .await;
    service.get_until("/status/a", |answer| answer.status == 200).await;

    let changed = tcp("changed", 9, "gates = []");
    let mounted = service.file("mounted");
    mount(&mounted, "..2", &[("vitalsign.toml", &main), ("a.checks", &changed)]);
    service.get_until("/status/changed", |answer| answer.status == 200).await;
    let line = service.says(RELOADED, 1).await;
    assert_eq!(counts(&line), [1, 0, 1, 1], "{line}");

    let b = tcp("b", 9, "gates = []");
    let all = [("vitalsign.toml", main.as_str()), ("a.checks", &changed), ("b.checks", &b)];
    mount(&mounted, "..3", &all);
    service.get_until("/status/b", |answer| answer.status == 200).await;
    let line = service.says(RELOADED, 2).await;
    assert_eq!(counts(&line), [1, 0, 0, 2], "{line}");

    fs::remove_file(mounted.join("b.checks")).expect("it was there");
    service.get_until("/status/b", |answer| answer.status == 404).await;
    assert_eq!(service.said(REFUSED), Vec::<Value>::new());
}
