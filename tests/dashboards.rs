//! The dashboards, and the rest of the stack around the service.

mod alertmanager;
mod data;
mod lint;
mod names;
mod promql;
mod schema;
mod stack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// A file or folder of the stack.
fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// The text of a file of the stack.
fn read(of: &str) -> String {
    std::fs::read_to_string(path(of)).unwrap_or_else(|e| panic!("{of}: {e}"))
}

/// Every dashboard as JSON text, by its file's name without the ending.
fn texts() -> BTreeMap<String, String> {
    let folder = std::fs::read_dir(path("dashboards/grafana")).expect("the dashboards");
    let files = folder.map(|entry| entry.expect("a file").path());
    let files = files.filter(|file| file.extension().is_some_and(|e| e == "json"));
    files
        .map(|file| {
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&file).expect("a text"))
        })
        .collect()
}

/// Every dashboard.
fn dashboards() -> BTreeMap<String, Json> {
    let parsed = |(name, text): (String, String)| {
        let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, json)
    };
    texts().into_iter().map(parsed).collect()
}

/// The list at a path of JSON, which must be there.
fn list<'a>(json: &'a Json, pointer: &str) -> &'a [Json] {
    json.pointer(pointer).and_then(Json::as_array).unwrap_or_else(|| panic!("no {pointer}: {json}"))
}

/// The text at a path of JSON, empty where there is none.
fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// The panels of a dashboard that show something.
fn panels(dashboard: &Json) -> impl Iterator<Item = &Json> {
    list(dashboard, "/panels").iter().filter(|panel| panel["type"] != "row")
}

/// A query, and where it stands.
#[derive(Debug)]
struct Query {
    dashboard: String,
    at: String,
    expression: String,
    exemplar: bool,
}

/// Every query of every panel and annotation.
fn queries() -> Vec<Query> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        let mut add = |holder: &Json, at: &str| {
            found.push(Query {
                dashboard: name.clone(),
                at: format!("{name}: {at}"),
                expression: text(holder, "/expr").to_owned(),
                exemplar: holder["exemplar"] == true,
            });
        };
        for panel in panels(&dashboard) {
            for target in list(panel, "/targets") {
                add(target, text(panel, "/title"));
            }
        }
        for annotation in list(&dashboard, "/annotations/list") {
            add(annotation, text(annotation, "/name"));
        }
    }
    found
}

/// What is chosen from for each variable of a dashboard that asks Prometheus: selector and label.
fn choices(dashboard: &Json) -> Vec<(String, String)> {
    let variables = list(dashboard, "/templating/list").iter();
    variables
        .filter(|variable| variable["type"] == "query")
        .map(|variable| {
            let query = text(variable, "/query/query");
            let inner = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
            let parts = inner.and_then(|inner| inner.rsplit_once(", "));
            let (selector, label) = parts.unwrap_or_else(|| panic!("no label_values: {query}"));
            (selector.to_owned(), label.to_owned())
        })
        .collect()
}
