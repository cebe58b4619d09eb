//! An OpenAPI document, and whether answers are as it says.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::http::Answer;

/// A document whose objects have the keys that it names and no others.
#[derive(Debug)]
pub(crate) struct Document(Value);

impl Document {
    pub(crate) fn read(text: &str) -> Self {
        let mut document: Value = serde_json::from_str(text).expect("JSON");
        close(&mut document["components"]["schemas"]);
        Self(document)
    }

    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.0["paths"].as_object().expect("paths").keys().cloned().collect()
    }

    /// Every operation with its path and method.
    pub(crate) fn operations(&self) -> Vec<(&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, item)| {
                let item = item.as_object().expect("methods");
                item.iter()
                    .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
            })
            .collect()
    }

    /// What is wrong with the answer to a request for `path`, a template of the document, by the
    /// one method that it has.
    pub(crate) fn objection(&self, path: &str, answer: &Answer) -> Option<String> {
        let methods = self.0["paths"][path].as_object().into_iter().flat_map(Map::values);
        let responses = methods.map(|operation| &operation["responses"]).next().expect("a method");
        let code = answer.status.to_string();
        let named = responses.get(&code).or_else(|| responses.get("default"));
        let Some(response) = named.map(|response| self.resolved(response)) else {
            return Some(format!("{code} is not described"));
        };
        if response.get("content").is_none() {
            return (!answer.body.is_empty()).then(|| format!("{code} has a body"));
        }
        let media = answer.header("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default();
        let Some(content) = response["content"].get(media) else {
            return Some(format!("{code} as `{media}` is not described"));
        };
        let named = response["headers"].as_object().into_iter().flat_map(Map::keys);
        if let Some(missing) = named.into_iter().find(|name| answer.header(name).is_none()) {
            return Some(format!("{code} comes without `{missing}`"));
        }
        let body = if media.ends_with("json") {
            serde_json::from_str(&answer.body).expect("JSON")
        } else {
            Value::from(answer.body.as_str())
        };
        let mut schema = content["schema"].clone();
        schema["components"] = self.0["components"].clone();
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        let validator = validator.expect("a schema");
        let errors: Vec<_> = validator
            .iter_errors(&body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        (!errors.is_empty()).then(|| errors.join("\n"))
    }

    fn resolved<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part.get("$ref").and_then(Value::as_str) {
            Some(pointer) => {
                let pointer = pointer.strip_prefix('#').expect("a reference within");
                self.0.pointer(pointer).expect("what it refers to")
            }
            None => part,
        }
    }
}

/// Refuses keys that are not named: what is served and not described is to be noticed.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        _ => {}
    }
}
