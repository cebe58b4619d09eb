//! A check kind of one's own, configured in TOML beside the built-in ones.
//!
//! ```text
//! cargo run --example custom_kind           # reads examples/custom_kind.toml
//! SPOOL=/var/spool/mail cargo run --example custom_kind
//! CONFIG=own.toml cargo run --example custom_kind
//! ```
//!
//! The options are checked as those of the built-in kinds are: what is wrong is told with file,
//! line and column, and the nearest known name. A kind wants the crates `async-trait`, `schemars`
//! and `serde` beside `vitalsign`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use std::{env, error::Error, process};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::Instant;
use vitalsign::checks::KINDS;
use vitalsign::config::{ConfigPath, Kind, KindOptions, Loader, OptionError};
use vitalsign::http::Server;
use vitalsign::{Check, Context, Detail, Failure, Health, Measurement, Reason, stop_signal};

/// A figure of the kind: the metric `health_check_spool_waiting_files`, and a key of `/status`.
static WAITING: Measurement =
    Measurement { name: "spool_waiting_files", help: "Files that wait in the spool." };

/// How many files wait in a directory to be processed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpoolOptions {
    /// The directory. A relative path is relative to the file that holds it.
    path: ConfigPath,
    /// More files than this make the run a warning. Default: no warning.
    warn_waiting: Option<u32>,
    /// More files than this fail the run with `out_of_range`.
    max_waiting: u32,
}

impl KindOptions for SpoolOptions {
    const NAME: &'static str = "spool";
    const SUMMARY: &'static str = "files that wait in a directory";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&WAITING];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { path: ConfigPath(path), warn_waiting, max_waiting: max } = self;
        let warn = warn_waiting.unwrap_or(max);
        if warn > max {
            let wrong = "it is above `max_waiting`; write a smaller number";
            return Err(vec![OptionError::new("warn_waiting", wrong)]);
        }
        Ok(Arc::new(Spool { path, warn, max }))
    }
}

struct Spool {
    path: PathBuf,
    warn: u32,
    max: u32,
}

#[async_trait]
impl Check for Spool {
    fn kind(&self) -> &'static str {
        SpoolOptions::NAME
    }

    /// Looks once. Timing, counting, deadlines, spans and thresholds are not its business.
    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut files = tokio::fs::read_dir(&self.path).await?;
        let mut waiting = 0;
        // A run reads no further than it must.
        while waiting <= self.max && files.next_entry().await?.is_some() {
            waiting += 1;
        }
        cx.measure(&WAITING, waiting.into());
        if waiting > self.max {
            let text = format!("more than {} files wait", self.max);
            return Err(Failure::new(Reason::OutOfRange, text));
        }
        if waiting > self.warn {
            return Ok(Detail::warning(format!("{waiting} files wait")));
        }
        Ok(Detail::ok())
    }
}

static ALL_KINDS: LazyLock<Vec<Kind>> =
    LazyLock::new(|| [KINDS, &[Kind::of::<SpoolOptions>()]].concat());

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = env::var("CONFIG").unwrap_or_else(|_| "examples/custom_kind.toml".to_owned());
    let loaded = Loader::new(&ALL_KINDS).load(Path::new(&config)).unwrap_or_else(|wrong| {
        // Every error of the file, each with its position.
        eprintln!("{wrong}");
        process::exit(78)
    });
    let mut health = Health::builder(loaded.settings.service.name);
    for check in loaded.checks {
        health = health.check(check.name, check.declared);
    }
    let health = health.build()?;

    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let drained = health.shutdown(stop_signal()?, loaded.settings.server.drain_delay);
    let stop = async {
        drained.await;
        Instant::now() + Duration::from_secs(20) // for the requests in flight
    };
    Server::new().serve(listener, health.clone().into_app(), stop).await;
    Ok(())
}
