//! The description of one route.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::http::problem::{self, PROBLEM_JSON};

/// Generates the schema of a type.
pub(super) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes and answers.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) answers: Vec<ResponseSpec>,
    pub(super) token: Option<Token>,
    /// The path as clients write it, where the router's cannot say it.
    pub(super) shown: Option<&'static str>,
}

/// A token that a route heeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// It gives the right to details; without one the answer has none.
    Details,
    /// It gives the right to `/metrics`, where one is configured.
    Metrics,
    /// A heartbeat check's own; nothing goes without it.
    Heartbeat,
}

/// What a client may add to the path, or has to fill in there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(super) name: &'static str,
    /// `path`, `query` or `header`.
    pub(super) place: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: MakeSchema,
}

/// An answer by its status code and media type.
#[derive(Debug)]
pub(super) struct ResponseSpec {
    pub(super) code: u16,
    pub(super) about: &'static str,
    /// Empty when the answer has no body.
    pub(super) media: &'static str,
    pub(super) schema: MakeSchema,
}

impl Parameter {
    /// The name of a check, as a part of the path.
    pub(crate) const CHECK: Self = Self {
        name: "check",
        place: "path",
        about: "Name of a check.",
        schema: SchemaGenerator::subschema_for::<String>,
    };

    /// The name of a group of checks, as a part of the path.
    pub(crate) const GROUP: Self = Self {
        name: "group",
        place: "path",
        about: "Name of a group of checks.",
        schema: SchemaGenerator::subschema_for::<String>,
    };

    /// Another part of the path.
    pub(crate) const fn path(name: &'static str, about: &'static str) -> Self {
        Self { name, place: "path", about, schema: SchemaGenerator::subschema_for::<String> }
    }

    /// A parameter of the query, which may be left out.
    pub(crate) const fn query<T: JsonSchema>(name: &'static str, about: &'static str) -> Self {
        Self { name, place: "query", about, schema: SchemaGenerator::subschema_for::<T> }
    }
}

impl Operation {
    /// A GET, and with it a HEAD; `summary` is a line without a full stop.
    pub(crate) const fn get(summary: &'static str) -> Self {
        Self {
            method: "get",
            summary,
            about: "",
            parameters: Vec::new(),
            answers: Vec::new(),
            token: None,
            shown: None,
        }
    }

    /// A POST; `summary` is a line without a full stop.
    pub(crate) fn post(summary: &'static str) -> Self {
        Self { method: "post", ..Self::get(summary) }
    }

    /// More of what it does, in sentences.
    pub(crate) const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Parameters that it takes.
    pub(crate) fn takes(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend_from_slice(parameters);
        self
    }

    /// Heeds a token.
    pub(crate) const fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Answers `T` as JSON.
    pub(crate) fn answers<T: JsonSchema>(self, code: u16, about: &'static str) -> Self {
        self.answers_with::<T>(code, about, "application/json")
    }

    /// Answers `T` as `media`; several media of one code are alternatives to ask for.
    pub(crate) fn answers_with<T: JsonSchema>(
        mut self,
        code: u16,
        about: &'static str,
        media: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.answers.push(ResponseSpec { code, about, media, schema });
        self
    }

    /// Answers without a body.
    pub(crate) fn answers_nothing(self, code: u16, about: &'static str) -> Self {
        self.answers_with::<()>(code, about, "")
    }

    /// Answers a problem.
    pub(crate) fn problem(self, code: u16, about: &'static str) -> Self {
        self.answers_with::<problem::Details<'_>>(code, about, PROBLEM_JSON)
    }
}
