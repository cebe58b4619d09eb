//! The service: how its parts are started, wired and stopped.
//!
//! Checks run on one runtime and HTTP is served on this thread's own, so that a check that blocks
//! its thread delays no probe, and `/health` can tell that the check runtime stands still.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use vitalsign::config::{ConfigError, Loaded, Loader};
use vitalsign::{Builder, Health, checks::KINDS, http, metrics};

use crate::cli::{CANNOT_LISTEN, CONFIGURATION, IO, OK};
use crate::commands::complain;

/// Threads of the check runtime: two, so that one that is blocked leaves another.
const CHECK_THREADS: usize = 2;

/// Time kept of the shutdown's for the last spans.
const FLUSH: Duration = Duration::from_secs(3);

/// Loads the configuration, or says all that is wrong with it.
pub(crate) fn load(config: Option<PathBuf>, listen: Option<SocketAddr>) -> Result<Loaded, u8> {
    let mut loader = Loader::new(KINDS);
    if let Some(address) = listen {
        loader = loader.listen(address);
    }
    let loaded = match config {
        Some(path) => loader.load(&path),
        None => loader.load_default(),
    };
    match loaded {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(loaded)
        }
        Err(error @ ConfigError::Invalid(_)) => {
            eprintln!("{error}");
            Err(CONFIGURATION)
        }
        Err(error) => Err(complain(CONFIGURATION, &error.to_string())),
    }
}

/// Describes the service of a configuration, without its checks.
pub(crate) fn describe(loaded: &Loaded) -> Builder {
    let service = &loaded.settings.service;
    let builder = Health::builder(&service.name)
        .version(&service.version)
        .instance(&service.instance);
    match &service.environment {
        Some(environment) => builder.environment(environment),
        None => builder,
    }
}
