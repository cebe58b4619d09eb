//! The `command` kind: runs a program and judges its exit code.

mod hide;
mod options;
mod process;

use std::process::Command as Program;
use std::sync::Arc;

use async_trait::async_trait;
use opentelemetry::propagation::Injector;
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::checks::local::BlockingThread;
use crate::config::KindOptions;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::Reason;

use hide::Hidden;
pub(crate) use options::CommandOptions;
use process::Process;

/// Variables of this process that the program gets: few programs work without them. The others are
/// not passed on, because any of them may contain a secret.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

struct Command {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    expected: Vec<u8>,
    warning: Vec<u8>,
    unknown: Vec<u8>,
    hidden: Hidden,
    thread: BlockingThread,
}

#[async_trait]
impl Check for Command {
    fn kind(&self) -> &'static str {
        CommandOptions::NAME
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let name = self.program.rsplit('/').next().unwrap_or_default();
        let shown = StringValue::from(Arc::<str>::from(name));
        let attributes = vec![KeyValue::new(semconv::PROCESS_EXECUTABLE_NAME, shown)];
        cx.client(name, attributes, Box::pin(self.execute(cx))).await
    }
}

impl Command {
    async fn execute(&self, cx: &Context) -> Result<Detail, Failure> {
        let process = Process::start(&self.thread, &self.program, self.compose(cx))?;
        let (end, said) = process.end().await;
        let end = end.map_err(|error| self.not_run(&error))?;
        let said = said.map(|line| self.hidden.hide(&line)).filter(|line| !line.is_empty());
        let said = said.map_or_else(String::new, |line| format!(": {line}"));
        let program = &self.program;
        let code = match end.how {
            Ok(code) => code,
            Err(signal) => {
                let text = format!("{program} was ended by signal {signal}{said}");
                return Err(Failure::new(Reason::UnexpectedStatus, text));
            }
        };
        cx.attribute(semconv::PROCESS_PID, i64::from(end.pid));
        cx.attribute(semconv::PROCESS_EXIT_CODE, i64::from(code));
        let among = |codes: &[u8]| codes.iter().any(|known| i32::from(*known) == code);
        if among(&self.expected) {
            return Ok(Detail::ok());
        }
        if among(&self.warning) {
            return Ok(Detail::warning(format!("{program} exited with {code}{said}")));
        }
        if among(&self.unknown) {
            let text = format!("{program} exited with {code}{said}");
            return Err(Failure::new(Reason::LocalResource, text).answered());
        }
        let expected = options::list(&self.expected);
        let text = format!("{program} exited with {code}, expected {expected}{said}");
        let failure = Failure::new(Reason::UnexpectedStatus, text);
        // In the semantic conventions a call of a program has failed if it did not exit with 0.
        Err(if code == 0 { failure.answered() } else { failure })
    }

    /// The command with its environment, including the trace context.
    fn compose(&self, cx: &Context) -> Program {
        let mut program = Program::new(&self.program);
        program.args(&self.args).env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                program.env(name, value);
            }
        }
        let mut context = Environment(program);
        cx.inject(&mut context);
        let Environment(mut program) = context;
        // The configured variables come last: they take precedence.
        program.envs(self.env.iter().map(|(name, value)| (name, value)));
        program
    }

    /// Why the program could not be run.
    fn not_run(&self, error: &std::io::Error) -> Failure {
        let reason = match error.kind() {
            // EAGAIN: the limit of processes for this user or system is reached.
            std::io::ErrorKind::WouldBlock => Reason::LocalResource,
            _ => Reason::of_io(error),
        };
        Failure::new(reason, format!("{} cannot be run: {error}", self.program))
    }
}

/// Trace context as variables, by the OpenTelemetry specification's environment variable carrier.
struct Environment(Program);

impl Injector for Environment {
    fn set(&mut self, key: &str, value: String) {
        let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = key.chars().map(upper).collect();
        // Neither can be part of a variable.
        if !name.is_empty() && !value.contains('\0') {
            self.0.env(name, value);
        }
    }
}
