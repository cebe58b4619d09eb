//! The log: filters, format and output.

use std::io::IsTerminal;

use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{MakeWriter, format};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

use super::export::Problem;
use super::{LogFormat, Settings};
use crate::engine::traces;

/// Libraries that log every connection: below `warn` they are logged only through `RUST_LOG`.
const CHATTY: [&str; 10] = [
    "h2",
    "hickory_proto",
    "hickory_resolver",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_sdk",
    "reqwest",
    "rustls",
    "tower",
];

/// Libraries that log the data they transfer, secrets included: below `warn` they are never
/// logged.
const LEAKING: [&str; 2] = ["tokio_tungstenite", "tungstenite"];

/// Where lines go.
pub struct Output {
    writer: BoxMakeWriter,
    terminal: bool,
}

impl Output {
    /// Standard error.
    #[must_use]
    pub fn stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { writer: BoxMakeWriter::new(std::io::stderr), terminal }
    }

    /// A writer other than a terminal.
    pub fn to<W>(writer: W) -> Self
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        Self { writer: BoxMakeWriter::new(writer), terminal: false }
    }

    /// The same, treated as a terminal.
    #[must_use]
    pub fn as_terminal(self) -> Self {
        Self { terminal: true, ..self }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

/// What is logged and how.
#[derive(Debug)]
pub(super) struct Logs {
    filter: EnvFilter,
    format: LogFormat,
    colour: bool,
}

impl Logs {
    /// Reads `RUST_LOG` and `NO_COLOR`; if they are unset, the settings apply.
    pub(super) fn read(
        settings: &Settings,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problem> {
        let set = |name| env(name).filter(|value| !value.trim().is_empty());
        let filter = match set("RUST_LOG") {
            Some(directives) => EnvFilter::builder().parse(&directives).map_err(|error| {
                let message = format!("{error}; use a level such as info, or info,vitalsign=debug");
                Problem { name: "RUST_LOG", message }
            })?,
            None => of_level(&settings.log_level)?,
        };
        Ok(Self { filter, format: settings.log_format, colour: set("NO_COLOR").is_none() })
    }

    /// The layer that writes lines to `output`, without the spans of runs.
    pub(super) fn layer<S>(self, output: Output) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let json = match self.format {
            LogFormat::Auto => !output.terminal,
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
        let layer = fmt::layer()
            .with_writer(output.writer)
            // With standard error closed, a line about that would panic.
            .log_internal_errors(false);
        let filter = self.filter.and(filter_fn(may_be_logged));
        if json {
            let fields = format::JsonFields::new();
            let layer = layer.json().fmt_fields(fields).flatten_event(true);
            layer.with_current_span(false).with_span_list(false).with_filter(filter).boxed()
        } else {
            layer.with_ansi(self.colour && output.terminal).with_filter(filter).boxed()
        }
    }
}

/// Whether an event may be logged at all, whatever the configured level is.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let logs = |library: &&str| {
        let rest = metadata.target().strip_prefix(*library);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let leaking = *metadata.level() > LevelFilter::WARN && LEAKING.iter().any(logs);
    metadata.target() != traces::TARGET && !leaking
}

fn of_level(level: &str) -> Result<EnvFilter, Problem> {
    let wrong = || {
        let message = format!("{level:?} is no level; use off, error, warn, info, debug or trace");
        Problem { name: "log_level", message }
    };
    let level: LevelFilter = level.parse().map_err(|_| wrong())?;
    let mut filter = EnvFilter::default().add_directive(level.into());
    if level > LevelFilter::WARN {
        for target in CHATTY {
            let directive = format!("{target}=warn").parse().map_err(|_| wrong())?;
            filter = filter.add_directive(directive);
        }
    }
    Ok(filter)
}

/// The filter of the tracing layer: it passes the spans of runs, and no events, which would be
/// added to spans.
pub(super) fn run_spans() -> FilterFn {
    let run_span: fn(&Metadata<'_>) -> bool =
        |metadata| metadata.is_span() && metadata.target() == traces::TARGET;
    filter_fn(run_span).with_max_level_hint(LevelFilter::INFO)
}
