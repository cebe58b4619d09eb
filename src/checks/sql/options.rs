//! The question of a SQL kind as its options write it.

use schemars::JsonSchema;

use super::{Dialect, MAX_ROWS, Question};
use crate::config::OptionError;

/// What the answer to the query must be.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectRows {
    /// Exact number of rows the query returns; another one fails the run with `unexpected_body`.
    /// At most 10000. Default: any number.
    #[serde(default)]
    pub(crate) rows: Option<u64>,
}

impl Question {
    /// The configured question, or what is wrong with it.
    pub(crate) fn read<D: Dialect>(
        query: Option<String>,
        expect: ExpectRows,
        errors: &mut Vec<OptionError>,
    ) -> Self {
        let query = query.filter(|sql| sql != D::QUERY);
        if query.as_ref().is_some_and(|sql| sql.trim().is_empty()) {
            errors.push(OptionError::new(
                "query",
                format!("it is empty; leave it out to ask `{}`", D::QUERY),
            ));
        }
        if expect.rows.is_some_and(|rows| rows > MAX_ROWS) {
            errors.push(OptionError::new(
                "expect.rows",
                format!("more than a check reads; at most {MAX_ROWS}"),
            ));
        }
        let custom = query.is_some();
        Self { sql: query.unwrap_or_else(|| D::QUERY.to_owned()), custom, rows: expect.rows }
    }
}
