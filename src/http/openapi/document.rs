//! Builds the OpenAPI document.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::operation::{Operation, Parameter, ResponseSpec, Token};
use crate::http::problem::{self, PROBLEM_JSON};

const ABOUT: &str = "\
Health, metrics and structured status of a service, all from one execution of each check. No \
request runs a check or waits for one. Wherever GET is described, HEAD answers the same without \
the body; any other method is a 405 with `Allow`. No answer may be cached. Without the right to \
details (a local client, or the token) the keys `reason`, `message`, `measurements`, `labels`, \
`trace_id`, `trace_url` and `instance` are absent.";

/// The document of these routes as JSON.
pub(super) fn write(described: &[(&'static str, Operation)]) -> Option<String> {
    serde_json::to_string(&document(described)).ok()
}

fn document(described: &[(&'static str, Operation)]) -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut schemas = settings.with_transform(RecursiveTransform(plain)).into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for (path, operation) in described {
        let path = operation.shown.unwrap_or(path);
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[operation.method] = describe(path, operation, &mut schemas);
    }
    let problem = schemas.subschema_for::<problem::Details<'_>>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "vitalsign",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Health, metrics and structured status of a service",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "What went wrong, as RFC 9457 has it.",
                    "content": { PROBLEM_JSON: { "schema": problem } },
                },
            },
            "securitySchemes": {
                "details": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`server.token`: gives the right to details.",
                },
                "metrics": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`server.metrics_token`: where it is set, `/metrics` needs it.",
                },
                "heartbeat": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The option `token` of the heartbeat check.",
                },
            },
        },
    })
}

/// Makes a doc comment a text for readers who have no rustdoc: links are plain, lines flow.
fn plain(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
    }
}

fn describe(path: &str, operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|parameter| describe_parameter(parameter, schemas))
        .collect();
    let mut described = json!({
        "operationId": id(operation.method, path),
        "summary": operation.summary,
        "responses": responses(&operation.answers, schemas),
        // No security requirement unless the route has a token.
        "security": [],
    });
    if !operation.about.is_empty() {
        described["description"] = operation.about.into();
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    match operation.token {
        Some(Token::Details) => described["security"] = json!([{}, { "details": [] }]),
        Some(Token::Metrics) => described["security"] = json!([{}, { "metrics": [] }]),
        Some(Token::Heartbeat) => described["security"] = json!([{ "heartbeat": [] }]),
        None => {}
    }
    described
}

/// A unique name that follows from the path: `get_status_check_history`.
fn id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

fn describe_parameter(parameter: &Parameter, schemas: &mut SchemaGenerator) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "required": parameter.place == "path",
        "schema": (parameter.schema)(schemas),
    })
}

fn responses(answers: &[ResponseSpec], schemas: &mut SchemaGenerator) -> Value {
    let mut responses: Map<String, Value> = Map::new();
    for answer in answers {
        let response = responses.entry(answer.code.to_string());
        let response = response.or_insert_with(|| json!({ "description": answer.about }));
        if !answer.media.is_empty() {
            response["content"][answer.media] = json!({ "schema": (answer.schema)(schemas) });
        }
        if let Some((name, about, schema)) = header(answer) {
            response["headers"] = json!({ name: { "description": about, "schema": schema } });
        }
    }
    responses.insert("default".into(), json!({ "$ref": "#/components/responses/Problem" }));
    responses.into()
}

/// The header that comes with a problem of some code.
fn header(answer: &ResponseSpec) -> Option<(&'static str, &'static str, Value)> {
    match answer.code {
        401 => Some(("WWW-Authenticate", "What is needed.", json!({ "const": "Bearer" }))),
        429 | 503 if answer.media == PROBLEM_JSON => {
            let about = "Seconds after which it may be tried again.";
            Some(("Retry-After", about, json!({ "type": "integer", "minimum": 1 })))
        }
        _ => None,
    }
}
