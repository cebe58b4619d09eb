//! The order of the layers: what each module under `src/` may import, and how large and deep the
//! tree may grow.

mod circles;
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imports::{Import, imports};

/// Modules, each with those that it may import.
type Layers = &'static [(&'static str, &'static [&'static str])];

/// Each room and the rooms that it may import; whatever is not listed may not be imported.
const LAYERS: Layers = &[
    ("model", &[]),
    ("engine", &["model"]),
    ("delivery", &["model"]),
    ("events", &["model"]),
    ("history", &["model", "net"]),
    ("config", &["engine", "model"]),
    ("net", &["config", "engine", "model"]),
    ("telemetry", &["config", "delivery", "engine", "model", "net"]),
    ("notify", &["config", "delivery", "model", "net"]),
    ("checks", &["config", "engine", "model", "net"]),
    ("rules", &["checks", "config", "engine", "model"]),
    ("health", &["checks", "config", "engine", "events", "history", "model", "telemetry"]),
    ("http", &["config", "engine", "events", "health", "history", "model", "telemetry"]),
    ("grpc", &["engine", "events", "health", "model"]),
];

/// The program: of the library it uses the public interface alone, by the crate's name.
const PROGRAM: [&str; 2] = ["bin", "vitalsign"];

/// The modules of the program, and which of the others each may import.
const PROGRAM_LAYERS: Layers = &[
    ("exit", &[]),
    ("reload", &["exit"]),
    ("serve", &["exit", "reload"]),
    ("commands", &["exit", "reload", "serve"]),
    ("cli", &["commands", "exit", "serve"]),
    ("main", &["cli", "commands", "exit", "reload", "serve"]),
];

/// The map of the crate names every module.
const ROOT: &str = "lib";

/// Longest file that a reader is asked to take in at once.
const MAX_LINES: usize = 400;

const TOP_LEVEL: &[&str] = &[
    "benches",
    "dashboards",
    "docs",
    "examples",
    "findings",
    "src",
    "target",
    "tests",
    "askama.toml",
    "build.rs",
    "Cargo.lock",
    "Cargo.toml",
    "CHANGELOG.md",
    "clippy.toml",
    "deny.toml",
    "docker-compose.yml",
    "Dockerfile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "rustfmt.toml",
];

/// What is wrong with an import by the module path `from`, if anything.
fn objection(layers: Layers, from: &[String], import: &Import) -> Option<String> {
    let layer = from.first().map_or(ROOT, String::as_str);
    let target = import.path.first().map_or("*", String::as_str);
    if layer == ROOT || (layer == target && layer != "checks") {
        return None;
    }
    if layer == "checks" && target == "checks" {
        return kinds_objection(from, import);
    }
    let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == layer) else {
        return Some(format!("module `{layer}` has no place among the layers; give it one"));
    };
    if allowed.contains(&target) {
        return None;
    }
    let path = import.path.join("::");
    Some(if layers.iter().any(|(name, _)| *name == target) {
        format!("`{path}` is against the layers; `{layer}` may import {allowed:?}")
    } else {
        format!("`{path}` is no module; import it from the one that declares it: {allowed:?}")
    })
}

/// Kinds do not know each other; those that speak SQL share the folder `sql`, those of message
/// brokers `broker`, and those that look at this host `local`.
fn kinds_objection(from: &[String], import: &Import) -> Option<String> {
    let kind = from.get(1)?;
    let other = import.path.get(1).map_or("*", String::as_str);
    if other == kind || ["broker", "local", "sql"].contains(&other) {
        return None;
    }
    let path = import.path.join("::");
    Some(format!(
        "`{path}` belongs to the list or another kind; a kind imports itself, `broker`, `local`, `sql`"
    ))
}

/// The path of the module that the file `relative` to `src/` holds.
fn module_path(relative: &Path) -> Vec<String> {
    let path = relative.with_extension("");
    let mut path: Vec<String> =
        path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod" || (last == ROOT && path.len() == 1)) {
        path.pop();
    }
    path
}

/// Every import of the file's text that is against the layers, a line each.
fn objections(file: &Path, text: &str) -> Vec<String> {
    let mut module = module_path(file);
    let mut layers = LAYERS;
    if module.starts_with(&PROGRAM.map(String::from)) {
        module.drain(..PROGRAM.len());
        layers = PROGRAM_LAYERS;
    }
    // The program is a crate of its own, whose root is the file itself.
    let root = if module == ["main"] { Vec::new() } else { module.clone() };
    let found = imports(&root, text).into_iter();
    found
        .filter_map(|import| {
            let objection = objection(layers, &module, &import)?;
            Some(format!("src/{}:{}: {objection}", file.display(), import.line))
        })
        .collect()
}

/// Every Rust file under `folder` with its text, by its path within.
pub(crate) fn rust_files(folder: &str) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a readable file");
                let relative = path.strip_prefix(&root).expect("a path within").to_owned();
                files.insert(relative, text);
            }
        }
    }
    files
}

#[test]
fn no_file_imports_against_the_layers() {
    let files = rust_files("src");
    assert!(files.contains_key(Path::new("lib.rs")), "the sources are not where they should be");
    let found: Vec<_> = files.iter().flat_map(|(file, text)| objections(file, text)).collect();
    assert!(found.is_empty(), "imports against the layers:\n{}", found.join("\n"));
}

#[test]
fn no_room_imports_the_inside_of_another() {
    let files = rust_files("src");
    let modules: BTreeSet<_> = files.keys().map(|file| module_path(file)).collect();
    let mut found = Vec::new();
    for (file, text) in &files {
        let module = module_path(file);
        for import in imports(&module, text) {
            let inside = import.path.len() > 3 && modules.contains(&import.path[..3]);
            if inside && import.path.first() != module.first() && !module.is_empty() {
                let path = import.path.join("::");
                found.push(format!("src/{}:{}: `{path}`", file.display(), import.line));
            }
        }
    }
    let wrong = found.join("\n");
    assert!(found.is_empty(), "a room's `mod.rs` should export what others use of it:\n{wrong}");
}

#[test]
fn the_layers_have_no_cycle() {
    // Whoever is taken away imports only what is already gone: with a cycle, some stay.
    let mut left: Vec<_> = [LAYERS, PROGRAM_LAYERS].concat();
    loop {
        let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
        let before = left.len();
        left.retain(|(_, allowed)| allowed.iter().any(|a| names.contains(a)));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "a cycle among {left:?}");
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let found = circles::circles(&rust_files("src"));
    assert!(found.is_empty(), "files that import each other:\n  {}", found.join("\n\n  "));
}

#[test]
fn a_circle_is_found_through_what_a_room_exports() {
    let files = [
        ("net/mod.rs", "mod tls; mod chain; pub(crate) use chain::Chain; pub use tls::Client;"),
        ("net/tls.rs", "use super::Chain; pub struct Client;"),
        ("net/chain.rs", "use crate::net::Client; pub struct Chain;"),
        ("checks/tcp.rs", "use crate::net::{Chain, Client};"),
    ];
    let files = files.map(|(path, text)| (PathBuf::from(path), text.to_owned()));
    let found = circles::circles(&files.into());
    assert_eq!(found, ["net/chain.rs -> net/tls.rs: Client\n  net/tls.rs -> net/chain.rs: Chain"]);
}

#[test]
fn every_file_is_short_enough_to_read() {
    for folder in ["src", "tests", "benches", "examples"] {
        for (file, text) in rust_files(folder) {
            let lines = text.lines().count();
            let file = file.display();
            assert!(lines <= MAX_LINES, "{folder}/{file} has {lines} lines; split it by purpose");
        }
    }
}

#[test]
fn folders_are_at_most_three_deep() {
    for file in rust_files("src").keys() {
        let folders = file.components().count() - 1;
        assert!(folders <= 3, "src/{} lies more than three folders deep", file.display());
    }
}

#[test]
fn the_top_level_holds_only_what_it_should() {
    let entries = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).expect("a readable folder");
    for entry in entries {
        let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
        // What the service keeps its history in by default may lie where it was tried out.
        let expected = name.starts_with('.')
            || name.starts_with("vitalsign.db")
            || TOP_LEVEL.contains(&name.as_str());
        assert!(expected, "`{name}` does not belong on the top level");
    }
}

#[test]
fn an_import_against_the_layers_is_named_with_file_line_and_what_is_allowed() {
    let text = "//! Words.\n\nuse crate::health::{Builder, Health};\n";
    let found = objections(Path::new("engine/run.rs"), text);
    let wrong = "`health::Builder` is against the layers; `engine` may import [\"model\"]";
    assert_eq!(found[0], format!("src/engine/run.rs:3: {wrong}"));
    assert_eq!(found.len(), 2, "each name of a group counts: {found:?}");
}

#[test]
fn wrong_imports_are_found_in_every_form() {
    for (file, text) in [
        ("model/mod.rs", "fn f() { crate::engine::once(); }"),
        ("model/sink.rs", "use super::super::engine::check::Check;"),
        ("engine/mod.rs", "use super::health;"),
        ("engine/run.rs", "mod tests { use super::super::super::http; }"),
        ("engine/check/mod.rs", "use crate::{model::Run, config};"),
        ("net/mod.rs", "use crate::*;"),
        ("net/mod.rs", "use crate::Status;"),
        ("net/failure.rs", "use crate::checks;"),
        ("net/mod.rs", "macro_rules! m { () => { $crate::http::once() } }"),
        ("net/mod.rs", "pub(in crate::health) fn f() {}"),
        ("checks/tcp.rs", "use super::http::Options;"),
        ("checks/tcp.rs", "use crate::checks::KINDS;"),
        ("checks/http/body.rs", "use super::super::tcp;"),
        ("checks/sql/pool.rs", "use crate::checks::postgres;"),
        ("bin/vitalsign/cli.rs", "use crate::main;"),
        ("novelty.rs", "use crate::model::Run;"),
    ] {
        assert_eq!(objections(Path::new(file), text).len(), 1, "{file}: {text}");
    }
}

#[test]
fn right_imports_and_mere_mentions_are_left_alone() {
    for (file, text) in [
        ("lib.rs", "pub use engine::Propagator; pub use crate::engine::Changes;"),
        ("model/mod.rs", "//! See [`crate::engine`].\n/* use crate::engine; /* too */ */"),
        ("model/mod.rs", "const A: &str = \"use crate::engine;\"; const B: char = '\"';"),
        ("model/mod.rs", "const A: &str = r#\"\"use crate::engine;\"\"#;"),
        ("model/mod.rs", "fn f<'a>(x: &'a str) {} mod tests { use super::*; use super::Run; }"),
        ("model/mod.rs", "pub(crate) fn f() {} pub(super) fn g() {}"),
        ("net/mod.rs", "mod failure; pub use self::failure::failure; use crate::model::*;"),
        ("net/failure.rs", "use super::Endpoint; use crate::engine::check::Context;"),
        ("checks/mod.rs", "use crate::config::Kind; mod tcp; use self::tcp::KIND;"),
        ("checks/postgres.rs", "use super::sql::pool::Pool; use crate::checks::sql;"),
        ("checks/http/body.rs", "use super::options::Options; use crate::net::connect;"),
        (
            "bin/vitalsign/main.rs",
            "mod cli; use crate::cli::Arguments; use vitalsign::state::HealthState;",
        ),
    ] {
        assert_eq!(objections(Path::new(file), text), [""; 0], "{file}: {text}");
    }
}
