//! Configurations: what is accepted, what is rejected, and what is said about it.

#![allow(clippy::expect_used, reason = "a helper fails a test as its own lines do")]

use std::collections::BTreeMap;
use std::env::VarError;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use vitalsign::config::{
    ByteSize, ConfigError, ConfigPath, Kind, KindOptions, Loaded, Loader, OptionError, Reference,
    Secret, Tls,
};
use vitalsign::{Check, Context, Detail, Failure};

pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// A kind with an option of each sort that the built-in ones have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// Where it is.
    url: Secret,
    #[serde(default)]
    expect: Expect,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    mode: Option<Mode>,
    max_size: Option<ByteSize>,
    data: Option<ConfigPath>,
    tls: Option<Tls>,
    login: Option<Login>,
    count: Option<u16>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    status: Vec<u16>,
    body_regex: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Primary,
    Replica,
}

impl KindOptions for Sample {
    const NAME: &'static str = "sample";
    const SUMMARY: &'static str = "nothing";

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        if !self.url.expose().starts_with("sample://") {
            errors.push(OptionError::new("url", "not a sample URL; write sample://…"));
        }
        if let Some(Err(_)) = self.expect.body_regex.as_deref().map(regex::Regex::new) {
            errors.push(OptionError::new("expect.body_regex", "no regular expression; mend it"));
        }
        for (index, status) in self.expect.status.iter().enumerate() {
            if !(100..600).contains(status) {
                let path = format!("expect.status[{index}]");
                errors.push(OptionError::new(path, "no HTTP status; write 100 to 599"));
            }
        }
        if self.login.as_ref().is_some_and(|login| login.password.expose().is_empty()) {
            errors.push(OptionError::new("login", "nobody logs in like this; write a `password`"));
        }
        if errors.is_empty() { Ok(Arc::new(Built(self))) } else { Err(errors) }
    }
}

struct Built(Sample);

#[async_trait]
impl Check for Built {
    fn kind(&self) -> &'static str {
        // What the built check holds is told by the kind's name, the one text that a test can see.
        let Sample { url, headers, meta, mode, max_size, data, tls, login, count, .. } = &self.0;
        let login = login.as_ref().map(|login| (&login.user, login.password.expose()));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name, value.expose())).collect();
        let mode = mode.as_ref().map(|mode| matches!(mode, Mode::Primary));
        let tls = tls.as_ref().and_then(|tls| tls.0.as_ref());
        let all = (url.expose(), headers, meta, mode, max_size, data, tls.is_some(), login, count);
        Box::leak(format!("{all:?}").into_boxed_str())
    }

    async fn run(&self, _: &Context) -> Result<Detail, Failure> {
        Ok(Detail::ok())
    }
}

pub(crate) static KINDS: &[Kind] = &[Kind::of::<Sample>()];

pub(crate) const HIDDEN: &str = "hunter2";

pub(crate) fn lookup(name: &str) -> Result<String, VarError> {
    match name {
        "PASSWORD" => Ok(HIDDEN.into()),
        "URL" => Ok("sample://db".into()),
        "EMPTY" => Ok(String::new()),
        _ => Err(VarError::NotPresent),
    }
}

pub(crate) fn loader() -> Loader {
    Loader::new(KINDS).environment(lookup)
}

pub(crate) fn parse(text: &str) -> Result<Loaded, ConfigError> {
    loader().parse("vitalsign.toml", text)
}

pub(crate) fn errors(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(error) => error.diagnostics().iter().map(ToString::to_string).collect(),
    }
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no case", folder.display());
    files
}

/// What a case expects: the lines that begin with `#!`, each `line:column: path: message`, with
/// the name of the file before it where that is another one. `…` at the end stands for anything.
fn expected(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a case is text");
    let lines: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#! "))
        .map(|line| {
            let file = if line.starts_with(|c: char| c.is_ascii_digit()) {
                path.to_owned()
            } else {
                return format!("{}/{line}", path.parent().expect("a folder").display());
            };
            format!("{}:{line}", file.display())
        })
        .collect();
    assert!(!lines.is_empty(), "{} expects nothing", path.display());
    lines
}

fn compare(path: &Path, kinds: &'static [Kind]) {
    let Err(found) = Loader::new(kinds).environment(lookup).load(path) else {
        panic!("{} was accepted", path.display());
    };
    assert!(!format!("{found} {found:?}").contains(HIDDEN), "a secret shows: {found}");
    let folder = path.parent().expect("a folder").display().to_string();
    let found: Vec<String> = found
        .diagnostics()
        .iter()
        .map(|line| line.to_string().replace(&format!("`{folder}/"), "`"))
        .map(|line| line.replace(&format!(" at {folder}/"), " at "))
        .collect();
    let wanted = expected(path);
    let same = found.len() == wanted.len()
        && found.iter().zip(&wanted).all(|(found, wanted)| match wanted.strip_suffix('…') {
            Some(start) => found.starts_with(start) && found.contains("; "),
            None => found == wanted,
        });
    assert!(same, "\nfound:\n{}\nwanted:\n{}\n", found.join("\n"), wanted.join("\n"));
}

#[test]
fn every_invalid_file_is_rejected_with_its_messages() {
    let mut wrong = Vec::new();
    for path in toml_files(&Path::new(FOLDER).join("invalid")) {
        if let Err(panic) = std::panic::catch_unwind(|| compare(&path, KINDS)) {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            wrong.push(format!("{}: {text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cases of the built-in kinds, `KIND-what.toml`; each waits for its kind to be built in.
#[test]
fn every_invalid_option_of_a_built_in_kind_is_rejected_at_its_place() {
    for path in toml_files(&Path::new(FOLDER).join("invalid/kinds")) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let kind = name.split('-').next().unwrap_or_default();
        if vitalsign::checks::KINDS.iter().any(|known| known.name == kind) {
            compare(&path, vitalsign::checks::KINDS);
        } else {
            eprintln!("left out: {name}, as the kind is not built in");
        }
    }
}

/// Every option of every kind and section, given a value of a wrong type.
#[test]
fn one_mistake_is_one_message() {
    const WRONG: &str = "[[[]]]";
    let mut wrong = Vec::new();
    let mut judge = |text: String, path: &str| {
        let loaded = Loader::new(vitalsign::checks::KINDS).environment(lookup);
        let Err(error) = loaded.parse("vitalsign.toml", &text) else {
            // What takes anything, such as the values of `expect.json`.
            return;
        };
        let lines: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
        let about = |line: &&String| line.contains(&format!(": {path}"));
        let others = lines.iter().filter(|line| !about(line) && !line.contains(": missing; "));
        let count = lines.iter().filter(about).count();
        if count != 1 || others.count() > 0 {
            wrong.push(format!("{text}{}", lines.join("\n")));
        }
    };
    let reference = Reference::of(vitalsign::checks::KINDS);
    for kind in &reference.kinds {
        let own = kind.table.options.iter().chain(&reference.common.options);
        for option in own.filter(|option| option.path != "kind") {
            let name = &kind.table.name;
            let key = option.path.split(['.', '[']).next().unwrap_or_default();
            judge(
                format!("[checks.x]\nkind = \"{name}\"\n{key} = {WRONG}\n"),
                &format!("checks.x.{key}"),
            );
        }
    }
    for section in &reference.sections {
        for option in &section.options {
            let name = &section.name;
            let (header, path) = if section.repeated {
                (format!("[[{name}]]"), format!("{name}[0]"))
            } else {
                (format!("[{name}]"), name.clone())
            };
            let key = option.path.split(['.', '[']).next().unwrap_or_default();
            judge(format!("{header}\n{key} = {WRONG}\n"), &format!("{path}.{key}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn several_unclosed_levels_are_an_error_and_no_overflow() {
    for depth in [100, 100_000] {
        for text in [
            format!("{}x = 1", "a.".repeat(depth)),
            format!("[{}x]\ny = 1", "a.".repeat(depth)),
            format!("[checks.{}x]\ny = 1", "a.".repeat(depth)),
            format!("a = {}1", "[".repeat(depth)),
            format!("a = {}", "{a=".repeat(depth)),
        ] {
            assert!(!errors(&text).is_empty());
        }
    }
}
