//! What `Cargo.toml` names is where it is needed, and no example goes untested.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// The files of the manifest's targets of one sort, which lie in `folder` unless it says otherwise.
fn targets(manifest: &Table, sort: &str, folder: &str) -> Vec<String> {
    let targets = manifest[sort].as_array().expect("a list");
    let path = |target: &Value| {
        let named = target.get("path").and_then(Value::as_str).map(str::to_owned);
        let name = target["name"].as_str().expect("a name");
        named.unwrap_or_else(|| format!("{folder}/{name}.rs"))
    };
    targets.iter().map(path).collect()
}

/// The Rust files in `folder`, sorted.
fn sources(folder: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pattern = root.join(folder).join("*.rs");
    let files = glob::glob(pattern.to_str().expect("text")).expect("a pattern");
    let files = files.map(|file| file.expect("a readable folder"));
    let inside = |file: PathBuf| file.strip_prefix(root).map(Path::to_path_buf).expect("it is");
    files.map(inside).map(|path| path.to_str().expect("text").to_owned()).collect()
}

#[test]
fn every_example_is_in_the_manifest_and_started_by_a_test() {
    let manifest: Table = read("Cargo.toml").parse().expect("TOML");
    let mut named = targets(&manifest, "example", "examples");
    named.sort();
    assert_eq!(named, sources("examples"));
    let tests: String = sources("tests/examples").iter().map(|path| read(path)).collect();
    for path in named {
        let name = path.trim_start_matches("examples/").trim_end_matches(".rs");
        let start = format!("Example::start(\"{name}\"");
        assert!(tests.contains(&start), "no test starts {path}");
    }
}

#[test]
fn the_image_is_built_with_all_that_the_manifest_names() {
    let manifest: Table = read("Cargo.toml").parse().expect("TOML");
    let ignored = read(".dockerignore");
    let sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for (sort, folder) in
        [("bench", "benches"), ("bin", "src"), ("example", "examples"), ("test", "")]
    {
        for path in targets(&manifest, sort, folder) {
            let is_sent = sent.iter().any(|of| Path::new(&path).starts_with(of));
            assert!(
                is_sent,
                "{path} is not sent to the build, which refuses a manifest without it"
            );
        }
    }
}
