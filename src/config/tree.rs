//! A configuration file as a tree of values with their positions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Index of the [`Source`].
    pub(super) file: usize,
    /// Bytes from its start.
    pub(super) offset: usize,
}

/// One file of a configuration.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name as the user wrote it.
    pub(super) name: String,
    /// Absolute path of the folder from which its relative paths start.
    pub(super) base: PathBuf,
    pub(super) text: String,
    line_starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: String, base: PathBuf, text: &str) -> Self {
        // Without this a byte order mark would count as a column.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { name, base, text, line_starts }
    }

    /// Line and column of a place, both from 1; columns are characters.
    pub(super) fn position(&self, at: Position) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= at.offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at.offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    pub(super) fn line(&self, number: usize) -> &str {
        let start = self.line_starts.get(number.wrapping_sub(1)).copied().unwrap_or(0);
        self.text[start..].lines().next().unwrap_or_default()
    }
}

/// A value and its position.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where the value starts; a table's header.
    pub(super) at: Position,
    /// Keys from the root of the file, as people write them.
    pub(super) path: String,
    pub(super) value: Value,
    /// It contains a secret, or text from the environment: no message may quote it.
    pub(super) hidden: bool,
    /// It is a stand-in for a value that was reported: further errors about it would be
    /// consequences.
    pub(super) poisoned: bool,
    /// Content of the file that it names, if that is part of the configuration.
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
    pub(super) key_at: Position,
    pub(super) node: Node,
}

impl Entry {
    /// A stand-in for the option `key` of `table`, for which an error was reported.
    pub(super) fn stand_in(table: &Node, key: &str) -> Self {
        let mut node = Node::new(table.at, table.path_of(&key_text(key)), Value::Boolean(false));
        node.poison();
        Self { key_at: table.at, node }
    }
}

impl Node {
    pub(super) fn new(at: Position, path: String, value: Value) -> Self {
        Self { at, path, value, hidden: false, poisoned: false, content: None }
    }

    /// An empty table for a section that is not in the file.
    pub(super) fn empty(at: Position, path: &str) -> Self {
        Self::new(at, path.to_owned(), Value::Table(Table::new()))
    }

    /// A stand-in for a value that was reported, or that is missing.
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

    /// The name of its type in messages, unless it is a text.
    pub(super) fn not_text(&self) -> Option<String> {
        Some(match &self.value {
            Value::String(_) => return None,
            // Messages show nothing of a value that may be secret.
            _ if self.hidden => "no string".to_owned(),
            Value::Integer(number) => format!("integer `{number}`"),
            Value::Float(number) => format!("floating point `{number}`"),
            Value::Boolean(flag) => format!("boolean `{flag}`"),
            Value::Datetime(_) => "date or time".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Table(_) => "table".to_owned(),
        })
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

    /// The node at a path such as `expect.status[1]`, or the deepest node above it with the rest of
    /// the path. Keys may contain dots.
    pub(super) fn locate<'p>(&self, path: &'p str) -> (&Self, &'p str) {
        let (segments, rest) = self.segments(path);
        let found = segments.iter().try_fold(self, |node, segment| match (segment, &node.value) {
            (PathSegment::Key(key), Value::Table(table)) => table.get(key).map(|entry| &entry.node),
            (PathSegment::Index(index), Value::Array(items)) => items.get(*index),
            _ => None,
        });
        (found.unwrap_or(self), rest)
    }

    /// Removes the node at a path, if there is one.
    pub(super) fn remove(&mut self, path: &str) -> Option<Self> {
        let (mut segments, rest) = self.segments(path);
        let last = segments.pop().filter(|_| rest.is_empty())?;
        match (last, &mut self.descend(&segments)?.value) {
            (PathSegment::Key(key), Value::Table(table)) => {
                table.remove(&key).map(|entry| entry.node)
            }
            (PathSegment::Index(index), Value::Array(items)) => Some(items.remove(index)),
            _ => None,
        }
    }

    /// The node at a path, mutable; `None` if there is none.
    pub(super) fn locate_mut(&mut self, path: &str) -> Option<&mut Self> {
        let (segments, rest) = self.segments(path);
        if rest.is_empty() { self.descend(&segments) } else { None }
    }

    fn descend(&mut self, segments: &[PathSegment]) -> Option<&mut Self> {
        segments.iter().try_fold(self, |node, segment| match (segment, &mut node.value) {
            (PathSegment::Key(key), Value::Table(table)) => table.get_mut(key).map(|e| &mut e.node),
            (PathSegment::Index(index), Value::Array(items)) => items.get_mut(*index),
            _ => None,
        })
    }

    fn segments<'p>(&self, path: &'p str) -> (Vec<PathSegment>, &'p str) {
        let path = path.strip_prefix('.').unwrap_or(path);
        let mut best = (Vec::new(), path);
        let mut consider = |segment: PathSegment, text: &str, child: &Self| {
            let Some(rest) = path.strip_prefix(text) else { return };
            if !(rest.is_empty() || rest.starts_with(['.', '['])) {
                return;
            }
            let (mut segments, rest) = child.segments(rest);
            if best.0.is_empty() || rest.len() < best.1.len() {
                segments.insert(0, segment);
                best = (segments, rest);
            }
        };
        match &self.value {
            Value::Table(table) => {
                for (key, entry) in table {
                    consider(PathSegment::Key(key.clone()), key, &entry.node);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    consider(PathSegment::Index(index), &format!("[{index}]"), item);
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

    /// A digest of the raw value, secrets and contents included.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.hash(&mut hash);
        hash.finalize().into()
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

enum PathSegment {
    Key(String),
    Index(usize),
}

/// A key as a part of a path: quoted if TOML requires it.
pub(super) fn key_text(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}
