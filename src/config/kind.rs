//! The interface between the configuration and a check kind: its options, their documentation, and
//! how a check is built from them.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::engine::check::Check;
use crate::model::Measurement;

/// The options of one kind: a struct with `#[serde(deny_unknown_fields)]` whose doc comments are
/// the reference that users read.
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use vitalsign::config::{Kind, KindOptions, Loader, OptionError};
/// use vitalsign::{Check, Context, Detail, Failure, Reason, checks};
///
/// /// Whether the moon is where it should be.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Moon {
///     /// Degrees above the horizon.
///     height: i16,
/// }
///
/// impl KindOptions for Moon {
///     const NAME: &'static str = "moon";
///     const SUMMARY: &'static str = "where the moon is";
///
///     fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
///         match self.height {
///             -90..=90 => Ok(Arc::new(self)),
///             _ => Err(vec![OptionError::new("height", "out of range; write -90 to 90")]),
///         }
///     }
/// }
///
/// #[async_trait]
/// impl Check for Moon {
///     fn kind(&self) -> &'static str {
///         Self::NAME
///     }
///
///     async fn run(&self, _: &Context) -> Result<Detail, Failure> {
///         if self.height > 0 { Ok(Detail::ok()) } else { Err(Failure::new(Reason::Other, "it has set")) }
///     }
/// }
///
/// let kinds: &[Kind] = Box::leak([checks::KINDS, &[Kind::of::<Moon>()]].concat().into());
/// let text = "[checks.moon]\nkind = \"moon\"\nheight = 91\n";
/// let wrong = Loader::new(kinds).parse("night.toml", text).unwrap_err();
/// assert!(wrong.to_string().starts_with("night.toml:3:10: checks.moon.height: out of range"));
/// ```
pub trait KindOptions: DeserializeOwned + JsonSchema + 'static {
    /// The kind's name in `kind = "…"`.
    const NAME: &'static str;

    /// What it asks, in a few words.
    const SUMMARY: &'static str;

    /// The measurements of its own that its checks may report.
    const MEASUREMENTS: &'static [&'static Measurement] = &[];

    /// What is allowed and yet worth a warning at start and at `validate`.
    fn warnings(&self) -> Vec<OptionError> {
        Vec::new()
    }

    /// Makes the check.
    ///
    /// # Errors
    /// Everything wrong with the options that their types do not exclude.
    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>>;
}

/// What is wrong with one option of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    /// The option within the check's table: `url`, `expect.body_regex`, `expect.status[1]`.
    pub path: String,
    /// `what is wrong; what would be right`, without any secret.
    pub message: String,
}

impl OptionError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// What is wrong with the regular expression at `path`, on one line.
    #[cfg(any(feature = "http", feature = "tcp"))]
    pub(crate) fn bad_regex(path: impl Into<String>, error: &regex::Error) -> Self {
        let text = error.to_string();
        // A syntax error draws the expression first; its last line says what is wrong.
        let what = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Self::new(path, format!("{what}; write a regular expression of the regex crate"))
    }
}

/// A kind as the registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The name in `kind = "…"`.
    pub name: &'static str,
    /// What it asks, in a few words.
    pub summary: &'static str,
    /// The measurements of its own that its checks may report.
    pub measurements: &'static [&'static Measurement],
    /// The schema of its options.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the options; the error has the path within them.
    pub read: fn(toml::Value) -> Result<Parsed, OptionError>,
    /// What is worth a warning in options that can be read.
    pub warnings: fn(toml::Value) -> Vec<OptionError>,
}

/// Options that were read and only need to be made into a check.
pub type Parsed = Box<dyn FnOnce() -> Result<Arc<dyn Check>, Vec<OptionError>>>;

impl Kind {
    /// The kind whose options are `O`.
    #[must_use]
    pub const fn of<O: KindOptions>() -> Self {
        Self {
            name: O::NAME,
            summary: O::SUMMARY,
            measurements: O::MEASUREMENTS,
            schema: |g| O::json_schema(g),
            read: read::<O>,
            warnings: |options| read_options::<O>(options).map_or(Vec::new(), |o| o.warnings()),
        }
    }
}

fn read<O: KindOptions>(options: toml::Value) -> Result<Parsed, OptionError> {
    let options = read_options::<O>(options)?;
    Ok(Box::new(move || options.build()))
}

/// Reads `T` out of `options`; the error has the path within them.
pub(super) fn read_options<T: DeserializeOwned>(options: toml::Value) -> Result<T, OptionError> {
    serde_path_to_error::deserialize(options).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        OptionError::new(path, error.inner().message())
    })
}
