//! The JSON Schema of a configuration, out of the same structs that read it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::checks::CommonOptions;
use super::kind::Kind;
use super::sections::{
    DefaultsSection, HistorySection, IncludeSection, ServerSection, ServiceSection,
    TelemetrySection,
};

/// JSON Schema (draft 2020-12) of a configuration whose checks are of `kinds`, for editors.
///
/// It describes what a file may hold, with the documentation of every option. Rules across
/// options, such as `timeout` being shorter than `interval`, are left to the loader.
#[must_use]
pub fn schema(kinds: &[Kind]) -> Json {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let common = CommonOptions::json_schema(&mut generator).to_value();
    let checks: Vec<Json> = kinds
        .iter()
        .map(|kind| {
            let own = (kind.schema)(&mut generator).to_value();
            check(*kind, &common, &own)
        })
        .collect();
    let properties = json!({
        "service": section::<ServiceSection>(&mut generator),
        "server": section::<ServerSection>(&mut generator),
        "defaults": section::<DefaultsSection>(&mut generator),
        "checks": {
            "description": "The checks by their names.",
            "type": "object",
            "propertyNames": {
                "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$",
                "not": { "enum": crate::check::names::RESERVED_NAMES },
            },
            "additionalProperties": { "oneOf": checks },
        },
        "history": section::<HistorySection>(&mut generator),
        "telemetry": section::<TelemetrySection>(&mut generator),
        "include": section::<IncludeSection>(&mut generator),
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vitalsign configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": generator.take_definitions(true),
    })
}

fn section<T: JsonSchema>(generator: &mut SchemaGenerator) -> Json {
    T::json_schema(generator).to_value()
}

/// A check of one kind: its own options and the common ones in one table.
fn check(kind: Kind, common: &Json, own: &Json) -> Json {
    let table = |schema: &Json| {
        schema.get("properties").and_then(Json::as_object).cloned().unwrap_or_default()
    };
    let required = |schema: &Json| {
        schema.get("required").and_then(Json::as_array).cloned().unwrap_or_default()
    };
    let mut properties: Map<String, Json> = table(own);
    properties.extend(table(common));
    properties.insert("kind".to_owned(), json!({ "const": kind.name }));
    json!({
        "title": kind.name,
        "description": kind.summary,
        "type": "object",
        "properties": properties,
        "required": ([required(common), required(own)].concat()),
        "additionalProperties": false,
    })
}
