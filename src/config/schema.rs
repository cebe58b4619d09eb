//! The JSON Schema of a configuration, from the same structs that read it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use crate::engine::check::RESERVED_NAMES;

use super::closed_list::choices;
use super::common_options::CommonOptions;
use super::kind::Kind;
use super::sections::{
    AlertmanagerSection, DefaultsSection, HistorySection, IncludeSection, MaintenanceSection,
    ServerSection, ServiceSection, TelemetrySection,
};

/// JSON Schema (draft 2020-12) of a configuration whose checks are of `kinds`, for editors.
///
/// It describes all options with their documentation, and allows `${NAME}` in place of any text.
/// Rules across options, such as `timeout` being shorter than `interval`, are checked by the loader
/// only.
#[must_use]
pub fn schema(kinds: &[Kind]) -> Json {
    let mut parts = Parts::of(kinds);
    parts.for_each(&allow_variables);
    let checks: Vec<Json> =
        parts.kinds.iter().map(|(kind, own)| check(*kind, &parts.common, own)).collect();
    let mut properties: Map<String, Json> =
        parts.sections.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let reserved = RESERVED_NAMES.map(|name| format!("`{name}`")).join(" and ");
    properties.insert(
        "checks".to_owned(),
        json!({
            "description": format!("The checks by their names; {reserved} are reserved."),
            "type": "object",
            "propertyNames": {
                "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$",
                "not": { "enum": RESERVED_NAMES },
            },
            "additionalProperties": { "oneOf": checks },
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vitalsign configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": parts.definitions,
    })
}

/// The schemas of a configuration, without `null`, which TOML does not have.
pub(super) struct Parts {
    pub(super) sections: Vec<(&'static str, Json)>,
    /// The options of every check.
    pub(super) common: Json,
    /// The options of each kind.
    pub(super) kinds: Vec<(Kind, Json)>,
    /// The definitions that the others refer to.
    pub(super) definitions: Map<String, Json>,
}

impl Parts {
    pub(super) fn of(kinds: &[Kind]) -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let mut parts = Self {
            sections: vec![
                ("service", section::<ServiceSection>(&mut generator)),
                ("server", section::<ServerSection>(&mut generator)),
                ("defaults", section::<DefaultsSection>(&mut generator)),
                ("maintenance", section::<Vec<MaintenanceSection>>(&mut generator)),
                ("history", section::<HistorySection>(&mut generator)),
                ("telemetry", section::<TelemetrySection>(&mut generator)),
                ("alertmanager", section::<AlertmanagerSection>(&mut generator)),
                ("include", section::<IncludeSection>(&mut generator)),
            ],
            common: section::<CommonOptions>(&mut generator),
            kinds: kinds
                .iter()
                .map(|kind| (*kind, (kind.schema)(&mut generator).to_value()))
                .collect(),
            definitions: generator.take_definitions(true),
        };
        parts.for_each(&remove_null);
        parts
    }

    fn for_each(&mut self, change: &dyn Fn(&mut Map<String, Json>)) {
        let sections = self.sections.iter_mut().map(|(_, schema)| schema);
        let kinds = self.kinds.iter_mut().map(|(_, schema)| schema);
        let all = sections.chain([&mut self.common]).chain(kinds);
        for schema in all.chain(self.definitions.values_mut()) {
            each_object(schema, change);
        }
    }
}

fn section<T: JsonSchema>(generator: &mut SchemaGenerator) -> Json {
    T::json_schema(generator).to_value()
}

/// Changes every object in `json`, the innermost first.
fn each_object(json: &mut Json, change: &dyn Fn(&mut Map<String, Json>)) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        Json::Object(object) => {
            object.values_mut().for_each(|value| each_object(value, change));
            change(object);
        }
        _ => {}
    }
}

/// Removes `null`, which stands for an option that is not given.
fn remove_null(schema: &mut Map<String, Json>) {
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Json::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if schema.get("default").is_some_and(Json::is_null) {
        schema.remove("default");
    }
    if let Some(Json::Array(branches)) = schema.get_mut("anyOf") {
        branches.retain(|branch| branch != &json!({ "type": "null" }));
        if let [Json::Object(only)] = branches.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            for (key, value) in only {
                schema.entry(key).or_insert(value);
            }
        }
    }
}

/// Allows a reference to a variable in place of a text that must have a certain form.
fn allow_variables(schema: &mut Map<String, Json>) {
    const REFERENCE: &str = r"\$\{";
    if let Some(Json::String(pattern)) = schema.get_mut("pattern") {
        *pattern = format!("{REFERENCE}|{pattern}");
    }
    for keyword in ["oneOf", "enum"] {
        if choices(schema, keyword).is_some_and(|choices| !choices.is_empty())
            && let Some(closed) = schema.remove(keyword)
        {
            let reference = json!({ "type": "string", "pattern": REFERENCE });
            schema.insert("anyOf".to_owned(), json!([{ keyword: closed }, reference]));
        }
    }
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
        "description": own.get("description").and_then(Json::as_str).unwrap_or(kind.summary),
        "type": "object",
        "properties": properties,
        "required": ([required(common), required(own)].concat()),
        "additionalProperties": false,
    })
}
