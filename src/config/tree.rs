//! A configuration file as a tree of values that know where they stand.
//!
//! In flows the text of a file; out flows a [`Node`] whose strings have their `${NAME}` replaced,
//! with every syntax error reported.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use toml::de::{DeTable, DeValue};

use super::diagnostics::Report;
use super::expand::{Environment, expand};

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    /// Index of the [`Source`].
    pub(super) file: usize,
    /// Bytes from its start.
    pub(super) offset: usize,
}

/// One file of a configuration.
#[derive(Debug)]
pub(super) struct Source {
    /// As it was named, for people.
    pub(super) name: String,
    /// Folder that its relative paths start from, absolute.
    pub(super) base: PathBuf,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: String, base: PathBuf, text: &str) -> Self {
        // A byte order mark would count as a column.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { name, base, text, line_starts }
    }

    /// Line and column of a place, both from 1; columns are characters.
    pub(super) fn position(&self, at: At) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= at.offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at.offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    fn line(&self, number: usize) -> &str {
        let start = self.line_starts.get(number.wrapping_sub(1)).copied().unwrap_or(0);
        self.text[start..].lines().next().unwrap_or_default()
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where the value starts; a table's header.
    pub(super) at: At,
    /// Keys from the root of the file, as people write them.
    pub(super) path: String,
    pub(super) value: Value,
    /// Holds a secret, or text from the environment: no message may quote it.
    pub(super) hidden: bool,
    /// Stands in for a value that was reported: what is said of it would be a consequence.
    pub(super) poisoned: bool,
    /// What the file that it names holds, when that is part of the configuration.
    pub(super) content: Option<[u8; 32]>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(toml::value::Datetime),
    Array(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Entry>;

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where the key starts.
    pub(super) key_at: At,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn new(at: At, path: String, value: Value) -> Self {
        Self { at, path, value, hidden: false, poisoned: false, content: None }
    }

    /// An empty table that stands for a section which is not there.
    pub(super) fn empty(at: At, path: &str) -> Self {
        Self::new(at, path.to_owned(), Value::Table(Table::new()))
    }

    /// Stands in for a value that was reported, or that is missing.
    pub(super) fn poison(&mut self) {
        self.value = Value::String(String::new());
        self.poisoned = true;
    }

    pub(super) fn table(&self) -> Option<&Table> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }

    pub(super) fn table_mut(&mut self) -> Option<&mut Table> {
        if let Value::Table(table) = &mut self.value { Some(table) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.table()?.get(key).map(|entry| &entry.node)
    }

    /// The path of what `relative` names within this node.
    pub(super) fn path_of(&self, relative: &str) -> String {
        if relative.is_empty() || self.path.is_empty() {
            return format!("{}{relative}", self.path);
        }
        let dot = if relative.starts_with('[') { "" } else { "." };
        format!("{}{dot}{relative}", self.path)
    }

    /// The node at a path such as `expect.status[1]`, or the deepest above it, with what of the
    /// path was left. Keys may hold dots themselves.
    pub(super) fn locate<'p>(&self, path: &'p str) -> (&Self, &'p str) {
        let (steps, rest) = self.steps(path);
        let found = steps.iter().try_fold(self, |node, step| match (step, &node.value) {
            (Step::Key(key), Value::Table(table)) => table.get(key).map(|entry| &entry.node),
            (Step::Index(index), Value::Array(items)) => items.get(*index),
            _ => None,
        });
        (found.unwrap_or(self), rest)
    }

    /// Takes out the node at a path, if it is there.
    pub(super) fn remove(&mut self, path: &str) -> Option<Self> {
        let (mut steps, rest) = self.steps(path);
        let last = steps.pop().filter(|_| rest.is_empty())?;
        match (last, &mut self.descend(&steps)?.value) {
            (Step::Key(key), Value::Table(table)) => table.remove(&key).map(|entry| entry.node),
            (Step::Index(index), Value::Array(items)) => Some(items.remove(index)),
            _ => None,
        }
    }

    /// The node at a path, to change it; none unless it is there.
    pub(super) fn locate_mut(&mut self, path: &str) -> Option<&mut Self> {
        let (steps, rest) = self.steps(path);
        if rest.is_empty() { self.descend(&steps) } else { None }
    }

    fn descend(&mut self, steps: &[Step]) -> Option<&mut Self> {
        steps.iter().try_fold(self, |node, step| match (step, &mut node.value) {
            (Step::Key(key), Value::Table(table)) => table.get_mut(key).map(|e| &mut e.node),
            (Step::Index(index), Value::Array(items)) => items.get_mut(*index),
            _ => None,
        })
    }

    fn steps<'p>(&self, path: &'p str) -> (Vec<Step>, &'p str) {
        let path = path.strip_prefix('.').unwrap_or(path);
        let mut best = (Vec::new(), path);
        let mut consider = |step: Step, text: &str, child: &Self| {
            let Some(rest) = path.strip_prefix(text) else { return };
            if !(rest.is_empty() || rest.starts_with(['.', '['])) {
                return;
            }
            let (mut steps, rest) = child.steps(rest);
            if best.0.is_empty() || rest.len() < best.1.len() {
                steps.insert(0, step);
                best = (steps, rest);
            }
        };
        match &self.value {
            Value::Table(table) => {
                for (key, entry) in table {
                    consider(Step::Key(key.clone()), key, &entry.node);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    consider(Step::Index(index), &format!("[{index}]"), item);
                }
            }
            _ => {}
        }
        best
    }

    /// Whether `test` holds here or anywhere below.
    pub(super) fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self)
            || match &self.value {
                Value::Table(table) => table.values().any(|entry| entry.node.any(test)),
                Value::Array(items) => items.iter().any(|item| item.any(test)),
                _ => false,
            }
    }

    /// The value as serde reads it.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::String(text) => toml::Value::String(text.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Boolean(flag) => toml::Value::Boolean(*flag),
            Value::Datetime(time) => toml::Value::Datetime(*time),
            Value::Array(items) => toml::Value::Array(items.iter().map(Self::to_toml).collect()),
            Value::Table(table) => toml::Value::Table(
                table.iter().map(|(key, entry)| (key.clone(), entry.node.to_toml())).collect(),
            ),
        }
    }

    /// Feeds the raw value, secrets and contents included, to `hash`: equal exactly when equal.
    pub(super) fn hash(&self, hash: &mut Sha256) {
        let mut field = |tag: u8, bytes: &[u8]| {
            hash.update([tag]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        if let Some(content) = &self.content {
            field(b'c', content);
        }
        match &self.value {
            Value::String(text) => field(b's', text.as_bytes()),
            Value::Integer(number) => field(b'i', &number.to_be_bytes()),
            Value::Float(number) => field(b'f', &number.to_bits().to_be_bytes()),
            Value::Boolean(flag) => field(b'b', &[u8::from(*flag)]),
            Value::Datetime(time) => field(b'd', time.to_string().as_bytes()),
            Value::Array(items) => {
                field(b'a', &(items.len() as u64).to_be_bytes());
                for item in items {
                    item.hash(hash);
                }
            }
            Value::Table(table) => {
                field(b't', &(table.len() as u64).to_be_bytes());
                for (key, entry) in table {
                    hash.update((key.len() as u64).to_be_bytes());
                    hash.update(key.as_bytes());
                    entry.node.hash(hash);
                }
            }
        }
    }
}

enum Step {
    Key(String),
    Index(usize),
}

/// A key as it stands in a path: quoted where TOML wants it quoted.
pub(super) fn key_text(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

/// Parses a file. What can be read despite syntax errors is returned.
pub(super) fn parse(
    file: usize,
    source: &Source,
    environment: &Environment,
    report: &mut Report,
) -> Node {
    let mut text = source.text.clone();
    let mut known = Vec::new();
    loop {
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut cut = None;
        for error in errors {
            let span = error.span().unwrap_or_default();
            // The parser gives up on the rest of the file at a key without a value.
            if error.message().starts_with("key with no value") && cut.is_none() {
                cut = Some(span.start);
            }
            if !known.contains(&(span.start, error.message().to_owned())) {
                known.push((span.start, error.message().to_owned()));
                syntax_error(At { file, offset: span.start }, error.message(), source, report);
            }
        }
        let shorter = cut
            .filter(|_| known.len() < MAX_SYNTAX_ERRORS)
            .and_then(|offset| with_line_blanked(&text, offset));
        let Some(shorter) = shorter else {
            let root = At { file, offset: 0 };
            let mut builder = Builder { file, environment, report };
            return builder.table(root, String::new(), table.get_ref());
        };
        text = shorter;
    }
}

/// Enough to mend a file by; a file that is no TOML at all would have one a line.
const MAX_SYNTAX_ERRORS: usize = 100;

/// The text with a line replaced by spaces, so that what follows keeps its place; none when the
/// line is blank.
fn with_line_blanked(text: &str, offset: usize) -> Option<String> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |i| i + 1);
    let end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let blank = " ".repeat(end - start);
    (text[start..end] != blank).then(|| format!("{}{blank}{}", &text[..start], &text[end..]))
}

fn syntax_error(at: At, message: &str, source: &Source, report: &mut Report) {
    let (line, _) = source.position(at);
    let path = path_of_line(source, line);
    if message == "duplicate key" {
        report.error(at, path, "declared twice; each name may stand only once");
        return;
    }
    let message = match message.split_once(", expected ") {
        Some((wrong, right)) => format!("{wrong}; expected {right}"),
        None => format!("{message}; expected TOML, such as `key = \"value\"`"),
    };
    report.syntax(at, line, path, message);
}

/// The option that a line of text is about, by its key and the last header above it.
fn path_of_line(source: &Source, line: usize) -> String {
    let header = |text: &str| {
        let inner = text.trim().strip_prefix('[')?.trim_start_matches('[');
        let inner = inner.split([']', '#']).next().unwrap_or(inner).trim();
        let key = |c: char| c.is_alphanumeric() || "._-\"' ".contains(c);
        (!inner.is_empty() && inner.chars().all(key)).then(|| inner.to_owned())
    };
    let text = source.line(line);
    if let Some(header) = header(text) {
        return header;
    }
    let above = (1..line).rev().find_map(|n| header(source.line(n)));
    let key = text.split_once('=').map(|(key, _)| key.trim()).filter(|key| {
        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "._-\"'".contains(c))
    });
    let parts: Vec<&str> = above.as_deref().into_iter().chain(key).collect();
    if parts.is_empty() { "syntax".to_owned() } else { parts.join(".") }
}

struct Builder<'a> {
    file: usize,
    environment: &'a Environment,
    report: &'a mut Report,
}

impl Builder<'_> {
    fn table(&mut self, at: At, path: String, table: &DeTable<'_>) -> Node {
        let mut node = Node::new(at, path, Value::Table(Table::new()));
        let mut entries = Table::new();
        for (key, value) in table {
            let key_at = At { file: self.file, offset: key.span().start };
            let path = node.path_of(&key_text(key.get_ref()));
            let child = self.value(value.span().start, path, value.get_ref());
            entries.insert(key.get_ref().to_string(), Entry { key_at, node: child });
        }
        node.value = Value::Table(entries);
        node
    }

    fn value(&mut self, offset: usize, path: String, value: &DeValue<'_>) -> Node {
        let at = At { file: self.file, offset };
        let value = match value {
            DeValue::String(text) => return self.string(at, path, text),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => {
                        return self.unusable(
                            at,
                            path,
                            "the number is too large; write one that fits 64 bits",
                        );
                    }
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => {
                    return self.unusable(
                        at,
                        path,
                        "this is no finite number; write one such as 0.5",
                    );
                }
            },
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(time) => Value::Datetime(*time),
            DeValue::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    self.value(item.span().start, format!("{path}[{index}]"), item.get_ref())
                });
                Value::Array(items.collect())
            }
            DeValue::Table(table) => return self.table(at, path, table),
        };
        Node::new(at, path, value)
    }

    fn string(&mut self, at: At, path: String, text: &str) -> Node {
        match expand(text, self.environment) {
            Ok(expanded) => {
                let hidden = expanded != text;
                let mut node = Node::new(at, path, Value::String(expanded));
                node.hidden = hidden;
                node
            }
            Err(message) => {
                self.report.error(at, path.clone(), message);
                let mut node = Node::new(at, path, Value::Boolean(false));
                node.poison();
                node
            }
        }
    }

    fn unusable(&mut self, at: At, path: String, what: &str) -> Node {
        self.report.error(at, path.clone(), what);
        let mut node = Node::new(at, path, Value::Boolean(false));
        node.poison();
        node
    }
}
