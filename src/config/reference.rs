//! The reference of a configuration for people: every option with its documentation, from the same
//! schemas that the loader uses.
//!
//! The texts are the doc comments of the option structs. A sentence that begins with `Default`
//! gives the default of an option; without one the schema's own default is shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::closed_list::choices;
use super::kind::Kind;
use super::names;
use super::schema::Parts;
use crate::model::Measurement;

/// All options of a configuration.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The sections other than the checks.
    pub sections: Vec<Table>,
    /// The options of every check, whatever its kind.
    pub common: Table,
    /// The kinds, as the registry sorts them.
    pub kinds: Vec<KindEntry>,
    /// The types of options, sorted by name.
    pub types: Vec<TypeEntry>,
}

/// A kind of check.
#[derive(Debug, Clone)]
pub struct KindEntry {
    /// What it checks, in a few words.
    pub summary: &'static str,
    /// Its options, without those of every check.
    pub table: Table,
    /// Its own measurements.
    pub measurements: &'static [&'static Measurement],
}

/// A section, or the options of a kind.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name: `server`, `http`; `NAME` for the options of every check.
    pub name: String,
    /// Whether the section may be repeated, as `[[maintenance]]`.
    pub repeated: bool,
    /// What it is for.
    pub text: String,
    /// Its options and those of the tables within, required ones first.
    pub options: Vec<OptionEntry>,
}

/// One option.
#[derive(Debug, Clone)]
pub struct OptionEntry {
    /// Its path within the table: `url`, `expect.status`.
    pub path: String,
    /// Name of its type: `duration`, `list of string`.
    pub type_name: String,
    /// Whether it is required if its table is present.
    pub required: bool,
    /// Its default as a text, if it has one.
    pub default: Option<String>,
    /// The default as TOML, if it is a value that the schema knows.
    pub default_value: Option<String>,
    /// What it means, without its default.
    pub text: String,
    /// The allowed texts, if it is an enumeration.
    pub choices: Vec<Choice>,
    /// Name of the type, explained in [`Reference::types`], whose options it belongs to.
    pub part_of: Option<String>,
}

/// One of the texts that an option accepts.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The text.
    pub name: String,
    /// What it means; may be empty.
    pub text: String,
}

/// The name of a type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeEntry {
    /// As [`OptionEntry::type_name`] has it.
    pub name: String,
    /// How its values are written.
    pub text: String,
}

/// The kind is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind `{name}`; {advice}")]
pub struct UnknownKind {
    name: String,
    advice: String,
}

impl UnknownKind {
    /// `name` is none of `known`.
    pub(crate) fn new(name: &str, known: &[&str]) -> Self {
        Self { name: name.to_owned(), advice: names::advice(name, known, "kinds") }
    }
}

impl Reference {
    /// The reference of configurations whose checks are of `kinds`.
    #[must_use]
    pub fn of(kinds: &[Kind]) -> Self {
        let parts = Parts::of(kinds);
        let mut reader = Reader { definitions: &parts.definitions, types: BTreeSet::new() };
        let sections =
            parts.sections.iter().map(|(name, schema)| reader.table(name, schema)).collect();
        let common = reader.table("NAME", &parts.common);
        let entries = parts.kinds.iter().map(|(kind, schema)| KindEntry {
            summary: kind.summary,
            table: reader.table(kind.name, schema),
            measurements: kind.measurements,
        });
        let kinds = entries.collect();
        Self { sections, common, kinds, types: reader.types.into_iter().collect() }
    }

    /// The kind called `name`.
    ///
    /// # Errors
    /// [`UnknownKind`], which suggests the nearest name or lists all that are known.
    pub fn kind(&self, name: &str) -> Result<&KindEntry, UnknownKind> {
        self.kinds.iter().find(|kind| kind.table.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.kinds.iter().map(|kind| &*kind.table.name).collect();
            UnknownKind::new(name, &known)
        })
    }
}

/// A table within a table, and the type that its options belong to.
struct Inner<'a> {
    schema: &'a Map<String, Json>,
    part_of: Option<String>,
}

/// Reads schemas and notes the types that they name.
struct Reader<'a> {
    definitions: &'a Map<String, Json>,
    types: BTreeSet<TypeEntry>,
}

/// No option is nested deeper; this ends the walk through a schema that refers to itself.
const MAX_DEPTH: usize = 8;

impl<'a> Reader<'a> {
    fn table(&mut self, name: &str, schema: &'a Json) -> Table {
        let mut options = Vec::new();
        let items = schema.get("items");
        let schema = items.map_or(schema, |items| self.resolve(items).1);
        if let Some(schema) = schema.as_object() {
            self.options(&Inner { schema, part_of: None }, "", &mut options, 0);
        }
        let (name, text) = (name.to_owned(), flowed(text_of(schema, "description")));
        Table { name, repeated: items.is_some(), text, options }
    }

    fn options(
        &mut self,
        table: &Inner<'a>,
        prefix: &str,
        out: &mut Vec<OptionEntry>,
        depth: usize,
    ) {
        let Some(properties) = table.schema.get("properties").and_then(Json::as_object) else {
            return;
        };
        let required: Vec<&str> =
            list(table.schema, "required").iter().filter_map(Json::as_str).collect();
        let mut properties: Vec<(&String, &'a Json)> = properties.iter().collect();
        properties.sort_by_key(|(key, _)| (!required.contains(&key.as_str()), *key));
        for (key, schema) in properties {
            let path = format!("{prefix}{key}");
            let (text, written) = split_default(&flowed(text_of(schema, "description")));
            let default_value = schema.get("default").and_then(literal);
            // A sentence of one bare value is shown as the value that it is.
            let written = written.filter(|written| Some(written) != default_value.as_ref());
            out.push(OptionEntry {
                type_name: self.type_name(schema, depth),
                required: required.contains(&key.as_str()),
                default: written
                    .or_else(|| default_value.as_ref().map(|value| format!("`{value}`"))),
                default_value,
                text,
                choices: self.choices(schema),
                part_of: table.part_of.clone(),
                path: path.clone(),
            });
            if depth < MAX_DEPTH
                && let Some(mut inner) = self.inner(schema)
            {
                inner.part_of = inner.part_of.or_else(|| table.part_of.clone());
                self.options(&inner, &format!("{path}."), out, depth + 1);
            }
        }
    }

    /// The table that an option may hold.
    fn inner(&self, schema: &'a Json) -> Option<Inner<'a>> {
        let (name, schema) = self.resolve(schema);
        let schema = schema.as_object()?;
        if schema.contains_key("properties") {
            return Some(Inner { schema, part_of: None });
        }
        // A type that has its own explanation is explained once, in the list of types.
        let mut tables = list(schema, "anyOf").iter().filter_map(|branch| self.inner(branch));
        tables.next().map(|inner| Inner { part_of: name.map(words), ..inner })
    }

    /// The schema behind a reference, with the name by which it is referred to.
    fn resolve(&self, schema: &'a Json) -> (Option<&'a str>, &'a Json) {
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|r| r.rsplit('/').next());
        match name.and_then(|name| Some((name, self.definitions.get(name)?))) {
            Some((name, target)) => (Some(name), target),
            None => (None, schema),
        }
    }

    fn type_name(&mut self, schema: &'a Json, depth: usize) -> String {
        let (name, schema) = self.resolve(schema);
        let Some(object) = schema.as_object() else { return "any value".to_owned() };
        if depth > MAX_DEPTH {
            return "any value".to_owned();
        }
        if object.contains_key("properties") {
            return "table".to_owned();
        }
        let choices = choices_of(object);
        if !choices.is_empty() {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            return names.join(", ");
        }
        if let Some(name) = name {
            let name = words(name);
            let text = flowed(text_of(schema, "description"));
            self.types.insert(TypeEntry { name: name.clone(), text });
            return name;
        }
        let branches = [list(object, "anyOf"), list(object, "oneOf")].concat();
        if !branches.is_empty() {
            return "any value".to_owned();
        }
        match object.get("type") {
            Some(Json::String(name)) => match name.as_str() {
                "array" => {
                    let item = object.get("items").map(|item| self.type_name(item, depth + 1));
                    format!("list of {}", item.as_deref().unwrap_or("any value"))
                }
                "object" => {
                    let value = object.get("additionalProperties");
                    let value = value.map(|value| self.type_name(value, depth + 1));
                    format!("table of {}", value.as_deref().unwrap_or("any value"))
                }
                name => name.to_owned(),
            },
            Some(Json::Array(names)) => {
                let names: Vec<&str> = names.iter().filter_map(Json::as_str).collect();
                names.join(" or ")
            }
            _ => "any value".to_owned(),
        }
    }

    /// What an option, or each item of its list, may be.
    fn choices(&self, schema: &'a Json) -> Vec<Choice> {
        let (_, schema) = self.resolve(schema);
        let schema = schema.get("items").map_or(schema, |items| self.resolve(items).1);
        let found = schema.as_object().map(choices_of).unwrap_or_default();
        let choice = |(name, branch): (&str, &Json)| Choice {
            name: name.to_owned(),
            text: flowed(text_of(branch, "description")),
        };
        found.into_iter().map(choice).collect()
    }
}

fn choices_of(schema: &Map<String, Json>) -> Vec<(&str, &Json)> {
    choices(schema, "oneOf").or_else(|| choices(schema, "enum")).unwrap_or_default()
}

fn list<'a>(schema: &'a Map<String, Json>, keyword: &str) -> &'a [Json] {
    schema.get(keyword).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text_of<'a>(schema: &'a Json, keyword: &str) -> &'a str {
    schema.get(keyword).and_then(Json::as_str).unwrap_or_default()
}

/// `HttpStatus` as words: `http status`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// A doc comment on one line.
fn flowed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text without its sentence that begins with `Default`, and what that sentence says.
fn split_default(text: &str) -> (String, Option<String>) {
    let starts = text.match_indices("Default").map(|(at, _)| at);
    let mut beginnings = starts.filter(|at| *at == 0 || text[..*at].ends_with(". "));
    let Some(start) = beginnings.next() else { return (text.to_owned(), None) };
    let sentence = &text[start..];
    let end = sentence.find(". ").map_or(sentence.len(), |at| at + 1);
    let said = sentence[..end].trim_start_matches("Default").trim_start_matches(':');
    let rest = format!("{}{}", &text[..start], sentence[end..].trim_start());
    (rest.trim_end().to_owned(), Some(said.trim().trim_end_matches('.').to_owned()))
}

/// A value as TOML; none for an empty value.
fn literal(value: &Json) -> Option<String> {
    match value {
        Json::Null | Json::Object(_) => None,
        Json::Array(items) if items.is_empty() => None,
        Json::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(literal).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_on_the_default_is_told_apart() {
        let split = |text| {
            let (text, default) = split_default(text);
            (text, default.unwrap_or_default())
        };
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(split("Share. Default 0.05."), both("Share.", "0.05"));
        assert_eq!(split("Sent. Default: none. Kept."), both("Sent. Kept.", "none"));
        assert_eq!(split("Default `a`; b wins."), both("", "`a`; b wins"));
        assert_eq!(split("By Default nothing."), both("By Default nothing.", ""));
    }

    #[test]
    fn names_of_types_are_words() {
        assert_eq!(words("HttpStatus"), "http status");
        assert_eq!(words("Duration"), "duration");
    }
}
