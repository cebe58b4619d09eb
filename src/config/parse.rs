//! Parses TOML text into a [`Node`], replaces `${NAME}` in strings, and reports every syntax error.

use toml::de::{DeTable, DeValue};

use super::diagnostics::Report;
use super::expand::{Environment, expand};
use super::external::Origin;
use super::tree::{Entry, Node, Position, Source, Table, Value, key_text};

/// Parses a file. What can be read despite syntax errors is returned.
pub(super) fn parse(
    file: usize,
    source: &Source,
    environment: &Environment,
    report: &mut Report,
) -> Node {
    let mut text = source.text.clone();
    let mut errors = SyntaxErrors { file, source, report, known: Vec::new(), twice: Vec::new() };
    loop {
        let (table, found) = DeTable::parse_recoverable(&text);
        let mut without = None;
        for error in found {
            let offset = error.span().map_or(0, |span| span.start);
            errors.take(offset, error.message());
            without = without.or_else(|| without_culprit(&text, offset, error.message()));
        }
        let Some(shorter) = without.filter(|_| errors.known.len() < MAX_SYNTAX_ERRORS) else {
            let root = Position { file, offset: 0 };
            let mut builder = Builder { file, environment, report };
            return builder.table(root, String::new(), table.get_ref());
        };
        text = shorter;
    }
}

/// Highest number of syntax errors that are reported. A file that is not TOML at all would have one
/// on each line.
const MAX_SYNTAX_ERRORS: usize = 100;

/// The text without the line of a key that has no value, because the parser would skip everything
/// after it. The positions of the other lines do not change.
fn without_culprit(text: &str, offset: usize, message: &str) -> Option<String> {
    if !message.starts_with("key with no value") {
        return None;
    }
    let start = text.get(..offset)?.rfind('\n').map_or(0, |i| i + 1);
    let end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let blank = " ".repeat(end - start);
    (text[start..end] != blank).then(|| format!("{}{blank}{}", &text[..start], &text[end..]))
}

struct SyntaxErrors<'a> {
    file: usize,
    source: &'a Source,
    report: &'a mut Report,
    known: Vec<(usize, String)>,
    /// What was declared twice: errors in its options would only be consequences.
    twice: Vec<String>,
}

impl SyntaxErrors<'_> {
    fn take(&mut self, offset: usize, message: &str) {
        if self.known.iter().any(|(at, known)| *at == offset && known == message) {
            return;
        }
        self.known.push((offset, message.to_owned()));
        let at = Position { file: self.file, offset };
        let (line, _) = self.source.position(at);
        let path = path_of_line(self.source, line);
        if message == "duplicate key" {
            if !self.twice.iter().any(|twice| path.starts_with(&format!("{twice}."))) {
                self.twice.push(path.clone());
                self.report.error(at, path, "declared twice; each name may stand only once");
            }
            return;
        }
        let text = self.source.text.get(offset..).unwrap_or_default();
        let no_value = text.is_empty() || text.starts_with(['\n', '\r', '#']);
        let message = match message.split_once(", expected ") {
            Some((_, "literal string")) if no_value => {
                "missing value; write one, such as \"text\"".to_owned()
            }
            Some((wrong, "literal string")) => format!("{wrong}; write \"text\""),
            Some((wrong, "nothing")) => format!("{wrong}; write text in quotes"),
            Some((wrong, right)) => format!("{wrong}; expected {right}"),
            None => format!("{message}; expected TOML, such as `key = \"value\"`"),
        };
        self.report.syntax(at, line, path, message);
    }
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
    fn table(&mut self, at: Position, path: String, table: &DeTable<'_>) -> Node {
        let mut node = Node::new(at, path, Value::Table(Table::new()));
        let mut entries = Table::new();
        for (key, value) in table {
            let key_at = Position { file: self.file, offset: key.span().start };
            let path = node.path_of(&key_text(key.get_ref()));
            let child = self.value(value.span().start, path, value.get_ref());
            entries.insert(key.get_ref().to_string(), Entry { key_at, node: child });
        }
        node.value = Value::Table(entries);
        node
    }

    fn value(&mut self, offset: usize, path: String, value: &DeValue<'_>) -> Node {
        let at = Position { file: self.file, offset };
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

    fn string(&mut self, at: Position, path: String, text: &str) -> Node {
        let report = &mut *self.report;
        let read = |name: &str| report.read(&path, Origin::Variable(name.to_owned()));
        match expand(text, self.environment, read) {
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

    fn unusable(&mut self, at: Position, path: String, what: &str) -> Node {
        self.report.error(at, path.clone(), what);
        let mut node = Node::new(at, path, Value::Boolean(false));
        node.poison();
        node
    }
}
