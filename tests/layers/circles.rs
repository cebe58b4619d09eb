//! Files that import each other in a circle.
//!
//! A path leads to the file that declares its last name: through `use` in the files on the way, as
//! a room's `mod.rs` exports what its files declare. A file may use what the `mod.rs` above it
//! declares, for these two are one module to whoever reads them. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::imports::{imports_of_children, imports_with};
use super::module_path;

/// Longest way that an exported name is followed.
const MOST_HOPS: usize = 8;

struct File {
    module: Vec<String>,
    /// Every path that the file names.
    paths: Vec<Vec<String>>,
}

/// Every circle among `files`, sources by their path, a line each.
pub(super) fn circles(files: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let read: BTreeMap<&Path, File> = files
        .iter()
        .filter(|(path, _)| !path.ends_with("tests.rs") && !path.ends_with("lib.rs"))
        .map(|(path, text)| (path.as_path(), file(path, text)))
        .collect();
    let by_module: BTreeMap<&[String], &Path> =
        read.iter().map(|(path, file)| (file.module.as_slice(), *path)).collect();
    let targets: BTreeMap<&Path, BTreeMap<&Path, BTreeSet<&str>>> =
        read.iter().map(|(path, file)| (*path, edges(path, file, &read, &by_module))).collect();

    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for start in targets.keys() {
        if seen.contains(start) {
            continue;
        }
        let there = reachable(start, &targets);
        let circle: BTreeSet<&Path> = there
            .iter()
            .copied()
            .filter(|other| reachable(other, &targets).contains(start))
            .collect();
        if circle.len() > 1 {
            found.push(describe(&circle, &targets));
        }
        seen.extend(circle);
    }
    found
}

fn file(path: &Path, text: &str) -> File {
    let module = module_path(path);
    let text = text.find("\nmod tests {").map_or(text, |end| &text[..end]);
    let found = imports_with(&module, text, &imports_of_children(text));
    File { module, paths: found.into_iter().map(|import| import.path).collect() }
}

/// The files that `from` imports, and the names that it takes from each.
fn edges<'a>(
    from: &Path,
    file: &'a File,
    read: &'a BTreeMap<&'a Path, File>,
    by_module: &BTreeMap<&'a [String], &'a Path>,
) -> BTreeMap<&'a Path, BTreeSet<&'a str>> {
    let mut edges: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for path in &file.paths {
        let Some((target, name)) = declared(path, read, by_module, MOST_HOPS) else { continue };
        let above = file.module.starts_with(&read[target].module);
        if target != from && !above {
            edges.entry(target).or_default().insert(name);
        }
    }
    edges
}

/// The file that declares what `path` leads to, and its name there; a module itself is no name.
fn declared<'a>(
    path: &'a [String],
    read: &'a BTreeMap<&'a Path, File>,
    by_module: &BTreeMap<&'a [String], &'a Path>,
    hops: usize,
) -> Option<(&'a Path, &'a str)> {
    let length = (0..path.len()).rev().find(|length| by_module.contains_key(&path[..*length]))?;
    let (file, name) = (by_module[&path[..length]], path[length].as_str());
    if by_module.contains_key(&path[..=length]) {
        return None;
    }
    let exported = read[file].paths.iter().find(|exported| {
        exported.last().is_some_and(|last| last == name) && exported[..] != path[..=length]
    });
    match exported {
        Some(exported) if hops > 0 => declared(exported, read, by_module, hops - 1),
        _ => Some((file, name)),
    }
}

fn reachable<'a>(
    start: &'a Path,
    edges: &BTreeMap<&'a Path, BTreeMap<&'a Path, BTreeSet<&str>>>,
) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::from([start]);
    let mut left = vec![start];
    while let Some(next) = left.pop() {
        for target in edges.get(next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(target) {
                left.push(target);
            }
        }
    }
    reached
}

fn describe(
    circle: &BTreeSet<&Path>,
    edges: &BTreeMap<&Path, BTreeMap<&Path, BTreeSet<&str>>>,
) -> String {
    let mut lines = Vec::new();
    for from in circle {
        for (to, names) in edges[from].iter().filter(|(to, _)| circle.contains(*to)) {
            let names: Vec<&str> = names.iter().copied().collect();
            lines.push(format!("{} -> {}: {}", from.display(), to.display(), names.join(", ")));
        }
    }
    lines.join("\n  ")
}
