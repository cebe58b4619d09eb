//! The reference that is committed is what the sources say, and it says something of everything.

mod links;
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::env::VarError;
use std::path::Path;

use serde_json::{Value as Json, json};
use vitalsign::checks::KINDS;
use vitalsign::config::{Loader, OptionEntry, Reference, Table, schema};

use crate::configuration::{FOLDER, KINDS as SAMPLES};

/// Says how the committed documents are renewed.
const RENEW: &str = "VITALSIGN_RENEW_DOCS=1 cargo test --test main documents";

/// Compares a document with the committed one, or writes it when that is asked for.
fn committed(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("VITALSIGN_RENEW_DOCS").is_some_and(|value| !value.is_empty()) {
        return std::fs::write(&path, text).expect("the document can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let line = found.lines().zip(text.lines()).take_while(|(found, wanted)| found == wanted);
    let line = line.count() + 1;
    assert!(
        found == text,
        "docs/{name}:{line} is not what the sources say; renew it:\n    {RENEW}"
    );
}

#[test]
fn the_configuration_page_is_what_the_sources_say() {
    committed("CONFIGURATION.md", &markdown::configuration(&Reference::of(KINDS)));
}

#[test]
fn the_kinds_page_is_what_the_sources_say() {
    committed("KINDS.md", &markdown::kinds(&Reference::of(KINDS)));
}

#[test]
fn the_metrics_page_is_what_the_sources_say() {
    committed("METRICS.md", &markdown::metrics(&Reference::of(KINDS)));
}

/// Every table of the reference with its options.
fn tables(reference: &Reference) -> impl Iterator<Item = &Table> {
    let kinds = reference.kinds.iter().map(|kind| &kind.table);
    reference.sections.iter().chain([&reference.common]).chain(kinds)
}

#[test]
fn the_configurations_of_the_page_on_migrating_are_valid() {
    let page = include_str!("../docs/MIGRATING.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let text = block.split("```").next().expect("what comes before the end");
        let loaded = Loader::new(KINDS).environment(|_| Err(VarError::NotPresent));
        let loaded = loaded.parse("MIGRATING.md", text).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(!loaded.checks.is_empty() && loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

#[test]
fn every_option_is_documented() {
    let reference = Reference::of(KINDS);
    let mut silent = Vec::new();
    for table in tables(&reference) {
        if table.text.is_empty() {
            silent.push(table.name.clone());
        }
        let wanting = table.options.iter().filter(|option| option.text.is_empty());
        silent.extend(wanting.map(|option| format!("{}.{}", table.name, option.path)));
    }
    let types = reference.types.iter().filter(|entry| entry.text.is_empty());
    silent.extend(types.map(|entry| format!("the type `{}`", entry.name)));
    assert!(silent.is_empty(), "nothing is said of {}", silent.join(", "));
}

#[test]
fn a_default_that_is_told_is_the_one_that_applies() {
    let reference = Reference::of(KINDS);
    let untrue = |option: &&OptionEntry| {
        let (Some(told), Some(value)) = (&option.default, &option.default_value) else {
            return false;
        };
        let plain = |text: &str| text.replace('`', "");
        option.required || !plain(told).starts_with(value)
    };
    for table in tables(&reference) {
        let untrue: Vec<_> = table.options.iter().filter(untrue).collect();
        assert!(untrue.is_empty(), "{}: {untrue:?}", table.name);
    }
}

#[test]
fn a_switch_shows_its_default() {
    let reference = Reference::of(KINDS);
    for table in tables(&reference) {
        for option in table.options.iter().filter(|option| option.type_name == "boolean") {
            assert!(option.default.is_some(), "{}.{}", table.name, option.path);
        }
    }
}

#[test]
fn every_figure_of_a_kind_is_listed() {
    let page = markdown::metrics(&Reference::of(KINDS));
    let declared =
        regex::Regex::new(r#"Measurement\s*\{\s*name: "([a-z0-9_]+)""#).expect("a regex");
    let mut found = BTreeSet::new();
    let files = ["src/checks", "src/net"].map(crate::layers::rust_files);
    for text in files.iter().flat_map(BTreeMap::values) {
        found.extend(declared.captures_iter(text).map(|capture| capture[1].to_owned()));
    }
    assert!(found.contains("replication_lag_seconds"), "{found:?}");
    for name in found {
        let listed = page.contains(&format!("| `health_check_{name}` |"));
        assert!(listed, "`{name}` is in no kind's `MEASUREMENTS`");
    }
}

fn errors(schema: &Json, configuration: &Json) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    validator.iter_errors(configuration).map(|error| error.to_string()).collect()
}

/// As editors see a file: its dates and times are texts.
fn as_json(value: toml::Value) -> Json {
    match value {
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(as_json).collect(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, as_json(value))).collect()
        }
        plain => json!(plain),
    }
}

#[test]
fn the_schema_is_one_of_draft_2020_12() {
    jsonschema::draft202012::meta::validate(&schema(KINDS)).expect("a schema");
}

#[test]
fn the_schema_accepts_what_the_loader_accepts() {
    let schema = schema(SAMPLES);
    for file in ["valid/full.toml", "valid/conf.d/included.toml"] {
        let text = std::fs::read_to_string(Path::new(FOLDER).join(file)).expect("a file");
        let configuration = as_json(toml::from_str(&text).expect("TOML"));
        assert_eq!(errors(&schema, &configuration), [""; 0], "{file}");
    }
}

/// The blocks of TOML in a page that are whole configurations.
fn configurations(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```toml").skip(1);
    blocks.filter_map(|block| block.split_once('\n')?.1.split("```").next())
}

#[test]
fn the_schema_accepts_every_valid_configuration_of_the_docs() {
    let schema = schema(KINDS);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).expect("a folder");
    let pages = pages.map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut accepted = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).expect("a page");
        for block in configurations(&text) {
            let loader = Loader::new(KINDS).environment(|_| Ok("postgres://db/orders".to_owned()));
            if loader.parse("block", block).is_err() {
                continue;
            }
            let configuration = as_json(toml::from_str(block).expect("TOML"));
            assert_eq!(errors(&schema, &configuration), [""; 0], "{}: {block}", page.display());
            accepted += 1;
        }
    }
    assert!(accepted > 3, "only {accepted} blocks are valid as they stand");
}

#[test]
fn the_schema_takes_a_variable_wherever_a_text_may_stand() {
    let text = r#"
        server = { details = "${DETAILS:-auto}", drain_delay = "${DRAIN}" }
        [checks.a]
        kind = "http"
        url = "${URL}"
        gates = ["${GATE}"]
        max_body = "${MAX}"
        expect.status = ["${STATUS:-2xx}"]
    "#;
    let configuration: Json = toml::from_str(text).expect("TOML");
    assert_eq!(errors(&schema(KINDS), &configuration), [""; 0]);
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema = schema(KINDS);
    let check = |check: Json| json!({ "checks": { "a": check } });
    let right = check(json!({ "kind": "tcp", "address": "db:1", "tls": { "insecure": true } }));
    assert_eq!(errors(&schema, &right), [""; 0]);
    for wrong in [
        json!({ "servers": {} }),
        json!({ "server": { "lisen": "127.0.0.1:1" } }),
        json!({ "server": { "details": "sometimes" } }),
        json!({ "server": { "details": null } }),
        json!({ "server": { "drain_delay": 5 } }),
        json!({ "server": { "drain_delay": "5" } }),
        json!({ "server": { "max_connections": 0 } }),
        json!({ "server": { "tls": { "cert": "cert.pem" } } }),
        json!({ "server": { "token": { "variable": "TOKEN" } } }),
        json!({ "checks": { "status": { "kind": "tcp", "address": "db:1" } } }),
        json!({ "checks": { "A": { "kind": "tcp", "address": "db:1" } } }),
        json!({ "maintenance": { "start": "23:00", "duration": "1h" } }),
        json!({ "maintenance": [{ "start": "23:00", "duration": "1h", "every": ["Caturday"] }] }),
        check(json!({ "kind": "tcp" })),
        check(json!({ "address": "db:1" })),
        check(json!({ "kind": "tpc", "address": "db:1" })),
        check(json!({ "kind": "tcp", "address": "db:1", "url": "http://db" })),
        check(json!({ "kind": "tcp", "address": "db:1", "gates": ["live"] })),
        check(json!({ "kind": "tcp", "address": "db:1", "interval": "soon" })),
        check(json!({ "kind": "tcp", "address": "db:1", "tls": { "unsafe": true } })),
        check(json!({ "kind": "http", "url": "http://a", "expect": { "status": ["9xx"] } })),
    ] {
        assert!(!errors(&schema, &wrong).is_empty(), "{wrong}");
    }
}
