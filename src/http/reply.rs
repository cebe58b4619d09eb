//! Helpers shared by the routes: JSON answers, timestamps, and the answer to a refused token.

use std::time::{Duration, SystemTime};

use axum::http::header;
use axum::response::{IntoResponse, Response};
#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::access;
use super::problem::Problem;

/// From 1970 to the first moment that RFC 3339 cannot write.
const YEAR_10000: Duration = Duration::from_hours(70_389_528);

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
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
pub(super) struct Time(
    #[cfg_attr(feature = "openapi", schemars(with = "String", extend("format" = "date-time")))]
    pub(super) SystemTime,
);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time(self.0))
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
pub(super) fn time(at: SystemTime) -> String {
    // Further from 1970 than the format reaches: a clock that is badly off.
    if at < SystemTime::UNIX_EPOCH || at >= SystemTime::UNIX_EPOCH + YEAR_10000 {
        return "0000-01-01T00:00:00.000Z".to_owned();
    }
    humantime::format_rfc3339_millis(at).to_string()
}
