//! Enumerations in a JSON Schema.

use serde_json::{Map, Value as Json};

/// The allowed texts of the keyword `oneOf` or `enum`, each with its schema.
pub(super) fn choices<'a>(
    schema: &'a Map<String, Json>,
    keyword: &str,
) -> Option<Vec<(&'a str, &'a Json)>> {
    let branches = schema.get(keyword)?.as_array()?;
    let text = |branch: &'a Json| match branch {
        Json::String(text) => Some((text.as_str(), branch)),
        _ => Some((branch.get("const")?.as_str()?, branch)),
    };
    branches.iter().map(text).collect()
}
