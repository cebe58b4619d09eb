//! What answers of several routes have in common: JSON, moments, and a refused token.

use std::time::SystemTime;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::access;
use super::problem::Problem;

/// The answer to a request whose token is refused.
pub(super) fn refused(why: access::Refused) -> Response {
    match why {
        access::Refused::Unauthorized => Problem::unauthorized(),
        access::Refused::TooMany => Problem::too_many_requests(access::WINDOW_SECONDS),
    }
    .into_response()
}

/// The answer that `document` is as JSON.
pub(super) fn json(document: impl Serialize) -> Response {
    match serde_json::to_string(&document) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, JsonSchema)]
pub(super) struct Time(
    #[schemars(with = "String", extend("format" = "date-time"))] pub(super) SystemTime,
);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time(self.0))
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
pub(super) fn time(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(at) => format!("{at:.3}"),
        // Further from 1970 than the calendar reaches: a clock that is badly off.
        Err(_) => "0000-01-01T00:00:00.000Z".to_owned(),
    }
}
