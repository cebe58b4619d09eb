//! A kind of check is one place: its file or folder in `src/checks/`, and its line in the list of
//! `src/checks/mod.rs`. What else belongs to a kind follows from that line, or this test lists it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::layers::rust_files;

/// Kinds of this host and of databases in a file: they have no peer over a network, so the common
/// suite of `tests/kinds/mod.rs` has nothing to do with them.
const WITHOUT_PEER: [&str; 6] = ["command", "disk", "file", "heartbeat", "memory", "sqlite"];

/// Kinds with a suite of their own in the common one's place, and where: their peers speak a
/// protocol of which a script is no fair picture.
const OWN_SUITE: [(&str, &str); 3] = [
    ("icmp", "kinds/icmp.rs"),
    ("mysql", "kinds_sql/mysql.rs"),
    ("postgres", "kinds_sql/postgres.rs"),
];

/// A kind as its source declares it.
struct Declared {
    name: String,
    summary: String,
    /// The module in `src/checks/` and the options struct: `tcp::TcpOptions`.
    options: String,
}

/// What is looked into; a text by its path.
struct Tree {
    sources: BTreeMap<PathBuf, String>,
    tests: BTreeMap<PathBuf, String>,
    registry: String,
    manifest: String,
    readme: String,
    tested_against: String,
    /// Names of the files that hold invalid options.
    invalid: Vec<String>,
}

impl Tree {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = |path: &str| std::fs::read_to_string(root.join(path)).expect("a readable file");
        let invalid = std::fs::read_dir(root.join("tests/invalid/kinds")).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        Self {
            sources: rust_files("src/checks"),
            tests: rust_files("tests"),
            registry: text("src/checks/mod.rs"),
            manifest: text("Cargo.toml"),
            readme: text("README.md"),
            tested_against: text("tests/documents/kinds.md"),
            invalid: invalid.map(name).collect(),
        }
    }

    fn kinds(&self) -> Vec<Declared> {
        let kind = Regex::new(
            r#"impl KindOptions for (\w+) \{\s*const NAME: &'static str = "([a-z0-9_]+)";\s*const SUMMARY: &'static str =\s*"([^"]*)";"#,
        );
        let kind = kind.expect("a regular expression");
        let in_file = |(path, text): (&PathBuf, &String)| -> Vec<Declared> {
            let module = path.iter().next().map(Path::new).and_then(Path::file_stem);
            let module = module.expect("a name").to_string_lossy().into_owned();
            let declared = |found: regex::Captures<'_>| Declared {
                name: found[2].to_owned(),
                summary: found[3].to_owned(),
                options: format!("{module}::{}", &found[1]),
            };
            kind.captures_iter(text).map(declared).collect()
        };
        self.sources.iter().flat_map(in_file).collect()
    }

    /// What `kind` lacks, each with the place where it belongs.
    fn missing(&self, kind: &Declared) -> Vec<String> {
        let Declared { name, summary, options } = kind;
        let mut missing = Vec::new();
        let mut want = |there: bool, what: String| {
            if !there {
                missing.push(what);
            }
        };
        let line = format!("Kind::of::<{options}>(),");
        let before = self.registry.split_once(&line).map(|(before, _)| before.trim_end());
        want(before.is_some(), format!("src/checks/mod.rs: `{line}` in `KINDS`"));
        let feature = before
            .and_then(|before| before.lines().last()?.trim().strip_prefix("#[cfg(feature = \""))
            .and_then(|rest| rest.strip_suffix("\")]"));
        if let Some(feature) = feature {
            let listed = self.manifest.split_once("\nkinds = [").map_or("", |(_, rest)| rest);
            let listed = listed.split(']').next().unwrap_or_default();
            let declared = format!("\n{feature} = [");
            want(self.manifest.contains(&declared), format!("Cargo.toml: the feature `{feature}`"));
            let quoted = format!("\"{feature}\"");
            want(listed.contains(&quoted), format!("Cargo.toml: {quoted} in the feature `kinds`"));
            let against = self.tested_against.lines().any(|line| {
                line.split('|').nth(1).is_some_and(|kinds| kinds.contains(&format!("`{name}`")))
            });
            let local = WITHOUT_PEER.contains(&name.as_str());
            let row = format!("tests/documents/kinds.md: what `{name}` is tested against");
            want(local || against, row);
        }
        let (place, tested) = self.tested(name);
        want(tested, place);
        let invalid = self.invalid.iter().any(|file| file.starts_with(&format!("{name}-")));
        want(invalid, format!("tests/invalid/kinds/{name}-….toml: wrong options, with messages"));
        let row = format!("\n| `{name}` |");
        let whole = format!("README.md: | `{name}` | {summary} | main options |");
        want(self.readme.contains(&row), whole);
        missing
    }

    /// Where the tests of the kind belong, and whether they are there.
    fn tested(&self, name: &str) -> (String, bool) {
        if WITHOUT_PEER.contains(&name) {
            let used = Regex::new(&format!(r#"(check|of)\(\s*"{name}"|kind = \\?"{name}"#));
            let used = used.expect("a regular expression");
            let tested = self.tests.iter().any(|(path, text)| {
                path.iter().next().is_some_and(|folder| folder != "invalid") && used.is_match(text)
            });
            return (format!("tests/kinds_local/{name}.rs: tests"), tested);
        }
        if let Some((_, file)) = OWN_SUITE.iter().find(|(kind, _)| *kind == name) {
            return (format!("tests/{file}"), self.tests.contains_key(Path::new(file)));
        }
        let subject = format!("kind: \"{name}\"");
        let joins = |text: &String| text.contains(&subject) && text.contains("contract_suite!");
        let place = format!("tests/kinds/{name}.rs: a `Subject` and `contract_suite!(subject);`");
        (place, self.tests.values().any(joins))
    }
}

#[test]
fn every_kind_has_all_that_belongs_to_one() {
    let tree = Tree::read();
    let kinds = tree.kinds();
    assert_eq!(kinds.len(), vitalsign::checks::KINDS.len(), "every source of a kind is found");
    let wanting = kinds.iter().filter_map(|kind| {
        let missing = tree.missing(kind);
        let list = missing.join("\n  - ");
        (!missing.is_empty()).then(|| format!("the kind `{}` lacks\n  - {list}", kind.name))
    });
    let wanting: Vec<String> = wanting.collect();
    assert!(wanting.is_empty(), "{}", wanting.join("\n"));
}

#[test]
fn a_new_kind_hears_of_everything_that_it_lacks_at_once() {
    let tree = Tree::read();
    let new = Declared {
        name: "ftp".to_owned(),
        summary: "greeting and login".to_owned(),
        options: "ftp::FtpOptions".to_owned(),
    };
    assert_eq!(
        tree.missing(&new),
        [
            "src/checks/mod.rs: `Kind::of::<ftp::FtpOptions>(),` in `KINDS`",
            "tests/kinds/ftp.rs: a `Subject` and `contract_suite!(subject);`",
            "tests/invalid/kinds/ftp-….toml: wrong options, with messages",
            "README.md: | `ftp` | greeting and login | main options |",
        ]
    );
    let registry = "    #[cfg(feature = \"ftp\")]\n    Kind::of::<ftp::FtpOptions>(),\n".to_owned();
    let missing = Tree { registry, ..tree }.missing(&new);
    assert_eq!(
        missing[..3],
        [
            "Cargo.toml: the feature `ftp`",
            "Cargo.toml: \"ftp\" in the feature `kinds`",
            "tests/documents/kinds.md: what `ftp` is tested against",
        ]
    );
}
