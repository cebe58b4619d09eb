//! Prepares a tree by the JSON Schema of the struct that will read it: finds unknown and missing
//! keys, reads secrets, and resolves paths.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::closed_list::choices;
use super::diagnostics::Report;
use super::expand::Environment;
use super::tree::{Entry, Node, Source, Value};
use super::watch::Contents;
use super::{names, pem};

/// The message about a required option that is missing.
pub(super) const MISSING: &str = "missing; this option is required";

/// The message about an empty secret from a file or a variable.
const EMPTY_SECRET: &str = "the secret is empty; fill the file or variable that holds it, or leave \
                            the option out";

/// Byte order mark: some editors write it at the start of a file in UTF-8; it is not part of the
/// text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Longest secret in a file: much more than any token or URL, but not a problem for memory.
const MAX_SECRET: u64 = 64 * 1024;

/// Input and results of a pass over the tree.
pub(super) struct Prepare<'a> {
    pub(super) environment: &'a Environment,
    pub(super) sources: &'a [Source],
    pub(super) report: &'a mut Report,
    /// Files whose content is part of the configuration.
    pub(super) files: &'a mut Contents,
}

/// A schema with the definitions that it refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct SchemaRef<'a> {
    pub(super) schema: &'a Json,
    pub(super) definitions: &'a Map<String, Json>,
}

/// Every schema that applies to a value, and whether that is certain.
#[derive(Default)]
struct Applicable<'a> {
    schemas: Vec<&'a Json>,
    ambiguous: bool,
}

impl Prepare<'_> {
    /// Checks `node` against `schema` and replaces references in it. `others` are keys of the
    /// same table that another struct reads, for suggestions.
    pub(super) fn run(&mut self, node: &mut Node, schema: SchemaRef<'_>, others: &[&str]) {
        let mut applicable = Applicable::default();
        collect(schema.schema, schema.definitions, node, &mut applicable, 0);
        if applicable.marked("x-secret").is_some() {
            return self.secret(node);
        }
        // serde would read the items of an array as the fields of a struct.
        if applicable.is_table() && matches!(node.value, Value::Array(_)) {
            let message = "invalid type: array; expected a table";
            self.report.error(node.at, node.path.clone(), message);
            return node.poison();
        }
        if let Some(values) = applicable.closed_list()
            && !node.poisoned
            && let Some(found) = node.not_text()
        {
            let message = format!("invalid type: {found}; {}", names::list("values", &values));
            self.report.error(node.at, node.path.clone(), message);
            return node.poison();
        }
        if applicable.marked("x-path").is_some() {
            self.path(node);
        }
        if let Some(content) = applicable.marked("x-pem").and_then(Json::as_str) {
            self.pem(node, content);
        }
        if node.table().is_some() {
            self.table(node, schema.definitions, &applicable, others);
        } else if let Value::Array(items) = &mut node.value
            && let Some(schema_of_items) = applicable.keyword("items")
        {
            for item in items {
                self.run(item, SchemaRef { schema: schema_of_items, ..schema }, &[]);
            }
        }
    }

    fn table(
        &mut self,
        node: &mut Node,
        definitions: &Map<String, Json>,
        applicable: &Applicable<'_>,
        others: &[&str],
    ) {
        let known = applicable.properties();
        let rest = applicable.keyword("additionalProperties").filter(|s| s.is_object());
        let closed = applicable.is_closed() && !applicable.ambiguous;
        let mut unknown = Vec::new();
        let shell = Node::empty(node.at, &node.path);
        let Some(table) = node.table_mut() else { return };
        let mut candidates: Vec<&str> = known.iter().chain(others).copied().collect();
        candidates.sort_unstable();
        let mut misnamed: Vec<&str> = Vec::new();
        for (key, entry) in table.iter_mut() {
            if let Some(schema) = applicable.property(key).or(rest) {
                self.run(&mut entry.node, SchemaRef { schema, definitions }, &[]);
            } else if closed {
                unknown.push(key.clone());
                let (meant, advice) = names::option(key, &candidates);
                // `host` and `port` together are one mistake if both were meant as `address`.
                if meant.is_some_and(|meant| misnamed.contains(&meant)) {
                    continue;
                }
                misnamed.extend(meant);
                let path = entry.node.path.clone();
                self.report.error(entry.key_at, path, format!("unknown option; {advice}"));
            }
        }
        for key in unknown {
            table.remove(&key);
        }
        // An option that was written under another name is not missing.
        for key in misnamed.into_iter().filter(|key| known.contains(key)) {
            table.entry(key.to_owned()).or_insert_with(|| Entry::stand_in(&shell, key));
        }
        if !applicable.ambiguous {
            for key in applicable.required().filter(|key| !table.contains_key(*key)) {
                self.report.absent(shell.at, shell.path_of(key), MISSING);
            }
        }
    }

    fn secret(&mut self, node: &mut Node) {
        let of_variables = std::mem::replace(&mut node.hidden, true);
        let Some(table) = node.table() else {
            if of_variables && !node.poisoned && node.text() == Some("") {
                self.report.error(node.at, node.path.clone(), EMPTY_SECRET);
                node.poison();
            }
            return;
        };
        let mut keys = table.iter();
        let resolved = match (keys.next(), keys.next()) {
            (Some((key, entry)), None) if key == "file" => {
                let file = entry.node.clone();
                self.secret_file(&file)
            }
            (Some((key, entry)), None) if key == "env" => match entry.node.text() {
                Some(_) if entry.node.poisoned => Ok(None),
                Some(name) => self.environment.get(name).map(Some),
                None => Err("`env` is no string; write { env = \"NAME\" }".to_owned()),
            },
            _ => Err("this is no secret; write a string, { file = \"…\" } or { env = \"NAME\" }"
                .to_owned()),
        };
        match resolved {
            Ok(Some(text)) if text.is_empty() => {
                self.report.error(node.at, node.path.clone(), EMPTY_SECRET);
                node.poison();
            }
            Ok(Some(text)) => node.value = Value::String(text),
            Ok(None) => node.poison(),
            Err(message) => {
                self.report.error(node.at, node.path.clone(), message);
                node.poison();
            }
        }
    }

    fn secret_file(&mut self, file: &Node) -> Result<Option<String>, String> {
        let Some(text) = file.text() else {
            return Err("`file` is no string; write { file = \"path\" }".to_owned());
        };
        if file.poisoned {
            return Ok(None);
        }
        let path = self.absolute(file, text);
        let shown = path.display();
        let read = read_bounded(&path, self.files)
            .map_err(|wrong| format!("cannot read `{shown}`: {wrong}; name a readable file"))?;
        let mut secret = String::from_utf8(read)
            .map_err(|_| format!("`{shown}` is not UTF-8; write the secret as UTF-8 text"))?;
        if secret.starts_with(BYTE_ORDER_MARK) {
            secret.remove(0);
        }
        if secret.ends_with('\n') {
            secret.pop();
            if secret.ends_with('\r') {
                secret.pop();
            }
        }
        Ok(Some(secret))
    }

    fn path(&mut self, node: &mut Node) {
        let Some(text) = node.text().filter(|_| !node.poisoned) else { return };
        if text.is_empty() {
            self.report.error(node.at, node.path.clone(), "the path is empty; name a file");
            return node.poison();
        }
        if let Ok(path) = self.absolute(node, text).into_os_string().into_string() {
            node.value = Value::String(path);
        } else {
            let message = "the folder of this file is not UTF-8; write an absolute path";
            self.report.error(node.at, node.path.clone(), message);
            node.poison();
        }
    }

    fn pem(&mut self, node: &mut Node, content: &str) {
        let Some(path) = node.text().filter(|_| !node.poisoned).map(PathBuf::from) else { return };
        match pem::read(&path, content, self.files) {
            Ok(bytes) => node.content = Some(Sha256::digest(bytes).into()),
            Err(message) => {
                self.report.error(node.at, node.path.clone(), message);
                node.poison();
            }
        }
    }

    fn absolute(&self, node: &Node, path: &str) -> PathBuf {
        let base = self.sources.get(node.at.file).map_or(Path::new(""), |s| s.base.as_path());
        base.join(path)
    }
}

fn read_bounded(path: &Path, files: &mut Contents) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut read))
        .map_err(|error| {
            files.missed(path);
            error.to_string()
        })?;
    if read.len() as u64 > MAX_SECRET {
        files.look(path);
        return Err(format!("it holds more than {MAX_SECRET} bytes"));
    }
    files.saw(path, &read);
    Ok(read)
}

/// Gathers the schemas that apply to `node`: behind references, in `allOf`, and those branches
/// of `anyOf` and `oneOf` that take its type.
fn collect<'a>(
    schema: &'a Json,
    definitions: &'a Map<String, Json>,
    node: &Node,
    out: &mut Applicable<'a>,
    depth: usize,
) {
    // A schema that refers to itself directly adds nothing.
    if depth > 16 {
        return;
    }
    out.schemas.push(schema);
    if schema.get("x-secret").is_some() {
        return;
    }
    let target = schema
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|reference| definitions.get(reference.rsplit('/').next()?));
    let all = branches(schema, "allOf");
    for part in target.into_iter().chain(all) {
        collect(part, definitions, node, out, depth + 1);
    }
    for keyword in ["anyOf", "oneOf"] {
        let fitting: Vec<&Json> = branches(schema, keyword)
            .filter(|branch| takes(branch, definitions, node, depth + 1))
            .collect();
        out.ambiguous |= fitting.len() > 1;
        for branch in fitting {
            collect(branch, definitions, node, out, depth + 1);
        }
    }
}

fn branches<'a>(schema: &'a Json, keyword: &str) -> impl Iterator<Item = &'a Json> {
    schema.get(keyword).and_then(Json::as_array).into_iter().flatten()
}

/// Whether a branch may accept a value of the node's type; a branch without a type may.
fn takes(schema: &Json, definitions: &Map<String, Json>, node: &Node, depth: usize) -> bool {
    if depth > 16 {
        return false;
    }
    // A secret is a string that may also be written as a table.
    if schema.get("x-secret").is_some() {
        return true;
    }
    if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        return reference
            .rsplit('/')
            .next()
            .and_then(|name| definitions.get(name))
            .is_none_or(|target| takes(target, definitions, node, depth + 1));
    }
    let fits = |name: &str| match &node.value {
        Value::Table(_) => name == "object",
        Value::Array(_) => name == "array",
        Value::String(_) | Value::Datetime(_) => name == "string",
        Value::Boolean(_) => name == "boolean",
        Value::Integer(_) => name == "integer" || name == "number",
        Value::Float(_) => name == "number",
    };
    match schema.get("type") {
        Some(Json::String(name)) => fits(name),
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).any(fits),
        _ => schema.get("const").is_none() && schema.get("enum").is_none(),
    }
}

impl<'a> Applicable<'a> {
    fn keyword(&self, name: &str) -> Option<&'a Json> {
        self.schemas.iter().find_map(|schema| schema.get(name))
    }

    fn marked(&self, marker: &str) -> Option<&'a Json> {
        self.keyword(marker)
    }

    /// Whether it must be a table.
    fn is_table(&self) -> bool {
        let object = Json::from("object");
        !self.ambiguous && self.keyword("type") == Some(&object)
    }

    /// The texts of a closed list, when the value must be one of them.
    fn closed_list(&self) -> Option<Vec<&'a str>> {
        let lists = |schema: &&'a Json| {
            let schema = schema.as_object()?;
            let values = choices(schema, "oneOf").or_else(|| choices(schema, "enum"))?;
            Some(values.into_iter().map(|(text, _)| text).collect())
        };
        if self.ambiguous { None } else { self.schemas.iter().find_map(lists) }
    }

    fn property(&self, key: &str) -> Option<&'a Json> {
        self.schemas.iter().find_map(|schema| schema.get("properties")?.get(key))
    }

    fn properties(&self) -> Vec<&'a str> {
        let tables = self.schemas.iter().filter_map(|s| s.get("properties")?.as_object());
        tables.flatten().map(|(key, _)| key.as_str()).collect()
    }

    fn required(&self) -> impl Iterator<Item = &'a str> {
        let lists = self.schemas.iter().filter_map(|s| s.get("required")?.as_array());
        lists.flatten().filter_map(Json::as_str)
    }

    fn is_closed(&self) -> bool {
        let closed = |schema: &&Json| {
            ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|keyword| schema.get(keyword) == Some(&Json::Bool(false)))
        };
        self.schemas.iter().any(closed)
    }
}
