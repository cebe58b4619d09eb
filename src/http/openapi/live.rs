//! OpenAPI descriptions of the page routes and `/events`.

use schemars::SchemaGenerator;

use super::operation::{Operation, Parameter, Token};

impl Operation {
    /// Shows `path` to clients instead of what the router takes.
    #[cfg(feature = "page")]
    pub(crate) const fn shown_as(mut self, path: &'static str) -> Self {
        self.shown = Some(path);
        self
    }
}

/// `/events`
pub(crate) fn events() -> Operation {
    let about = "Server-sent events: a `summary` at first and every 15 s, a `status` event per \
                 status change, and a `gap` where changes were not delivered. The data of each is a \
                 line of JSON. A client that comes back with the last `id` it saw gets the changes \
                 since.";
    let header = Parameter {
        name: "Last-Event-ID",
        place: "header",
        about: "The last `id` that was seen.",
        schema: SchemaGenerator::subschema_for::<String>,
    };
    let query = Parameter::query::<String>(
        "last_event_id",
        "The same, for clients that cannot set headers.",
    );
    Operation::get("Status changes as they happen")
        .about(about)
        .takes(&[header, query])
        .token(Token::Details)
        .answers_with::<String>(200, "The events, until the service stops.", "text/event-stream")
        .problem(401, "The token is wrong.")
        .problem(429, "Many wrong tokens came from there.")
        .problem(503, "Too many streams are open, or the service is stopping.")
}

/// `/`
#[cfg(feature = "page")]
pub(crate) fn overview() -> Operation {
    page(Operation::get("The status page").about("For people; live where scripts may run."))
}

/// `/checks/{check}`
#[cfg(feature = "page")]
pub(crate) fn check() -> Operation {
    page(Operation::get("The page of one check").takes(&[Parameter::CHECK]))
        .answers_with::<String>(404, "There is no check of this name.", "text/html")
        .problem(404, "There is no check of this name.")
}

/// `/badge/{check}.svg`
#[cfg(feature = "page")]
pub(crate) fn badge() -> Operation {
    Operation::get("A picture of one check's status")
        .about("For readmes and dashboards.")
        .shown_as("/badge/{check}.svg")
        .takes(&[Parameter::CHECK])
        .answers_with::<String>(200, "The picture.", "image/svg+xml")
        .problem(404, "There is no check of this name.")
}

/// `/assets/{asset}`
#[cfg(feature = "page")]
pub(crate) fn asset() -> Operation {
    let name = Parameter {
        name: "asset",
        place: "path",
        about: "Name of the file, as a page names it; it changes with the content.",
        schema: SchemaGenerator::subschema_for::<String>,
    };
    Operation::get("A file that the pages need")
        .about("Their style, script and icons; it may be kept for good.")
        .takes(&[name])
        .answers_with::<String>(200, "The style.", "text/css")
        .answers_with::<String>(200, "The script.", "text/javascript")
        .answers_with::<String>(200, "An icon.", "image/svg+xml")
        .problem(404, "There is no such file.")
}

#[cfg(feature = "page")]
fn page(operation: Operation) -> Operation {
    operation
        .token(Token::Details)
        .answers_with::<String>(200, "The page.", "text/html")
        .problem(401, "The token is wrong.")
        .problem(429, "Many wrong tokens came from there.")
}
