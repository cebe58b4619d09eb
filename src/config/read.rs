//! Reads a struct from a tree, and reports every error instead of only the first.
//!
//! serde stops at the first value that it cannot read. That value is reported at its position and
//! removed, and the rest is read again.

use std::collections::BTreeSet;

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::diagnostics::Report;
use super::kind::{OptionError, read_options};
use super::names;
use super::prepare::{MISSING, Prepare, SchemaRef};
use super::tree::{Entry, Node, key_text};

/// Reads the section `node` as a `T`, whose schema finds unknown and missing keys.
pub(super) fn section<T: DeserializeOwned + JsonSchema>(
    node: &mut Node,
    prepare: &mut Prepare<'_>,
) -> Option<T> {
    let mut generator = SchemaGenerator::default();
    let schema = T::json_schema(&mut generator).to_value();
    let definitions = generator.take_definitions(true);
    prepare.run(node, SchemaRef { schema: &schema, definitions: &definitions }, &[]);
    all_errors(node, prepare.report, &read_options::<T>)
}

/// Reads `node` with `read` until it succeeds or there is nothing left to remove.
///
/// If errors were reported, the result is only useful to find more errors.
pub(super) fn all_errors<R>(
    node: &mut Node,
    report: &mut Report,
    read: &impl Fn(toml::Value) -> Result<R, OptionError>,
) -> Option<R> {
    let mut stood_in = BTreeSet::new();
    loop {
        let error = match read(node.to_toml()) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let progress = match quoted_after(&error.message, "missing field ") {
            Some(field) => stand_in(node, &error.path, field, &mut stood_in, report),
            None => report_and_remove(node, &error, report),
        };
        if !progress {
            return None;
        }
    }
}

/// Inserts a stand-in for a missing required option, so that the others are still checked. If serde
/// does not accept the stand-in, the table is removed.
fn stand_in(
    node: &mut Node,
    path: &str,
    field: &str,
    stood_in: &mut BTreeSet<String>,
    report: &mut Report,
) -> bool {
    let Some(holder) = node.locate_mut(path) else { return false };
    let (at, path_of_field) = (holder.at, holder.path_of(&key_text(field)));
    report.absent(at, path_of_field.clone(), MISSING);
    if !stood_in.insert(path_of_field.clone()) {
        return node.remove(path).is_some();
    }
    let entry = Entry::stand_in(holder, field);
    let Some(table) = holder.table_mut() else { return false };
    table.insert(field.to_owned(), entry);
    true
}

fn report_and_remove(node: &mut Node, error: &OptionError, report: &mut Report) -> bool {
    let (found, rest) = node.locate(&error.path);
    let existing = error.path.len() - rest.len();
    let path = error.path[..existing].to_owned();
    report.option(node, &path, with_example(found, safe(found, &error.message)));
    let removed = node.remove(&path).is_some();
    // A list from which an item was removed is not the written one: that it is empty or too short
    // is only a consequence.
    if let Some((list, _)) = path.strip_suffix(']').and_then(|path| path.rsplit_once('['))
        && let Some(list) = node.locate_mut(list)
    {
        list.poisoned = true;
    }
    removed
}

/// serde's message in our form, without the value if that must not be shown.
fn safe(node: &Node, message: &str) -> String {
    let hides = |node: &Node| {
        node.hidden
            && node.text().is_none_or(|text| {
                let escaped: String = text.chars().flat_map(char::escape_debug).collect();
                text.is_empty() || message.contains(text) || message.contains(&escaped)
            })
    };
    let message = if node.any(&hides) {
        match message.rsplit_once(", expected ") {
            Some((_, right)) => format!("invalid value, expected {right}"),
            None => "invalid value".to_owned(),
        }
    } else {
        message.to_owned()
    };
    in_our_words(&message)
}

fn in_our_words(message: &str) -> String {
    if let Some(name) = quoted_after(message, "unknown field ") {
        return format!("unknown option; {}", names::advice(name, &listed(message), "options"));
    }
    if let Some(name) = quoted_after(message, "unknown variant ") {
        let advice = names::advice(name, &listed(message), "values");
        return format!("unknown value `{name}`; {advice}");
    }
    let Some((wrong, right)) = message.rsplit_once(", expected ") else {
        if message.contains("; ") {
            return message.to_owned();
        }
        return format!("{message}; see the option's description");
    };
    let wrong = match wrong {
        "invalid type: map" => "invalid type: table",
        "invalid type: sequence" => "invalid type: array",
        other => other,
    };
    let right = match right {
        "a map" => "a table",
        "a sequence" => "an array",
        "a boolean" | "bool" => "true or false",
        "f64" | "f32" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    format!("{wrong}; expected {right}")
}

/// Shows how the value would be written as the array that is expected.
fn with_example(node: &Node, message: String) -> String {
    if !message.ends_with("; expected an array") {
        return message;
    }
    match node.text() {
        Some(text) if !node.hidden => format!("{message}, such as [{text:?}]"),
        _ => format!("{message}, such as [\"text\"]"),
    }
}

/// The name in back-quotes after `start`.
fn quoted_after<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    rest.split_once("`, expected").map(|(name, _)| name).or_else(|| rest.split('`').next())
}

/// The names that serde lists as expected.
fn listed(message: &str) -> Vec<&str> {
    let list = message.rsplit_once(", expected ").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}
