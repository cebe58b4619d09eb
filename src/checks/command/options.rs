//! The options of the `command` kind, and how a check is built from them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::checks::local::BlockingThread;
use crate::config::{KindOptions, OptionError, Secret};
use crate::engine::check::Check;

use super::Command;
use super::hide::Hidden;

/// Runs a program, such as a script or a monitoring plugin, and judges its exit code. There is no
/// shell in between.
///
/// The message of a failure or a warning is the first line of its stdout, or of its stderr if
/// stdout is empty; the rest of its output is discarded. It runs in its own process group, which is
/// killed when the program has ended or at the timeout. A program that cannot be started fails the
/// run with `other`; one that is ended by a signal, or exits with another code than expected, with
/// `unexpected_status`.
///
/// For a plugin of Nagios, Icinga or Debian's `monitoring-plugins` set `expect.warning = 1` and
/// `expect.unknown = 3`.
///
/// From this service's environment it gets only `PATH`, `HOME`, `LANG` and `TZ`. It also gets the
/// trace context as `TRACEPARENT`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandOptions {
    /// The program: a name that is looked up in `PATH`, or an absolute path.
    program: String,
    /// Its arguments, passed unchanged.
    #[serde(default)]
    args: Vec<Secret>,
    /// Variables to set. Put secrets here, because everybody on the host can read the arguments of
    /// a process. If the output contains a value of this table or an argument, its name is shown
    /// instead, unless it is shorter than four characters.
    #[serde(default)]
    env: BTreeMap<String, Secret>,
    /// Expected exit codes.
    #[serde(default)]
    expect: ExpectOptions,
}

/// Exit codes and their meaning.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CommandExpect")]
struct ExpectOptions {
    /// Exit codes that mean success. Default `0`.
    #[schemars(extend("default" = 0))]
    exit: Option<ExitCodes>,
    /// Exit codes that mean a warning, such as `1` of a monitoring plugin. Default: none.
    warning: Option<ExitCodes>,
    /// Exit codes that mean that the program has no result, such as `3` of a monitoring plugin: the
    /// run is `unknown` and does not change the status. Default: none.
    unknown: Option<ExitCodes>,
}

/// One exit code or several.
#[derive(Debug)]
struct ExitCodes(Vec<u8>);

impl<'de> Deserialize<'de> for ExitCodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> de::Visitor<'de> for OneOrMore {
            type Value = ExitCodes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an exit code from 0 to 255, or an array of them")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ExitCodes, E> {
                let code = u8::try_from(number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
                Ok(ExitCodes(vec![code]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ExitCodes, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<ExitCodes, A::Error> {
                let mut codes = Vec::new();
                while let Some(code) = seq.next_element()? {
                    codes.push(code);
                }
                Ok(ExitCodes(codes))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for ExitCodes {
    fn schema_name() -> Cow<'static, str> {
        "ExitCodes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An exit code from 0 to 255, or an array of them.",
            "type": ["integer", "array"],
            "minimum": 0,
            "maximum": 255,
            "items": { "type": "integer", "minimum": 0, "maximum": 255 },
        })
    }
}

impl KindOptions for CommandOptions {
    const NAME: &'static str = "command";
    const SUMMARY: &'static str = "exit code of a program, no shell";

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut wrong = |path: String, text: &str| errors.push(OptionError::new(path, text));
        if let Some(text) = wrong_program(&self.program) {
            wrong("program".into(), text);
        }
        for (n, arg) in self.args.iter().enumerate() {
            if arg.expose().contains('\0') {
                wrong(format!("args[{n}]"), NUL);
            }
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                let text = "this is no name of a variable; write one such as LIMIT";
                wrong(format!("env.{name}"), text);
            } else if value.expose().contains('\0') {
                wrong(format!("env.{name}"), NUL);
            }
        }
        let codes = |given: Option<ExitCodes>, default| given.map_or(default, |codes| codes.0);
        let expected = codes(self.expect.exit, vec![0]);
        let warning = codes(self.expect.warning, Vec::new());
        if expected.is_empty() {
            let text = "no exit code is expected, so none would do; write one such as 0";
            wrong("expect.exit".into(), text);
        }
        let unknown = codes(self.expect.unknown, Vec::new());
        if let Some(code) = warning.iter().find(|code| expected.contains(code)) {
            let text = format!("{code} is a success already, by `expect.exit`; write it once");
            wrong("expect.warning".into(), &text);
        }
        if let Some(code) = unknown.iter().find(|code| expected.contains(code)) {
            let text = format!("{code} is a success already, by `expect.exit`; write it once");
            wrong("expect.unknown".into(), &text);
        } else if let Some(code) = unknown.iter().find(|code| warning.contains(code)) {
            let text = format!("{code} is a warning already, by `expect.warning`; write it once");
            wrong("expect.unknown".into(), &text);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let exposed = |secret: &Secret| secret.expose().to_owned();
        let args: Vec<_> = self.args.iter().map(exposed).collect();
        let env: Vec<_> =
            self.env.iter().map(|(name, value)| (name.clone(), exposed(value))).collect();
        let hidden = Hidden::of(&args, &env);
        let (program, thread) = (self.program, BlockingThread::default());
        Ok(Arc::new(Command { program, args, env, expected, warning, unknown, hidden, thread }))
    }
}

const NUL: &str = "a NUL character cannot be passed on; leave it out";

/// What is wrong with `program`, if anything.
fn wrong_program(program: &str) -> Option<&'static str> {
    if program.is_empty() {
        Some("there is no program; write a name such as \"pg_isready\" or an absolute path")
    } else if program.contains('\0') {
        Some(NUL)
    } else if program.contains('/') && !program.starts_with('/') {
        Some("a relative path leads elsewhere from another directory; write an absolute one")
    } else {
        None
    }
}

/// `0` or `0, 1 or 3`.
pub(super) fn list(codes: &[u8]) -> String {
    let texts: Vec<_> = codes.iter().map(ToString::to_string).collect();
    match texts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => texts.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_one_or_a_list_of_bytes() {
        let read = |text: &str| {
            let options: Result<ExpectOptions, _> = toml::from_str(&format!("exit = {text}"));
            options.ok().and_then(|options| options.exit).map(|codes| codes.0)
        };
        assert_eq!(read("3"), Some(vec![3]));
        assert_eq!(read("[0, 255]"), Some(vec![0, 255]));
        for wrong in ["-1", "256", "[256]", "'0'", "0.0", "true"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!([&[7][..], &[0, 1], &[0, 1, 3]].map(list), ["7", "0 or 1", "0, 1 or 3"]);
    }
}
