//! Reload: applies the differences of a changed configuration, or refuses it completely.
//!
//! Input: SIGHUP, and the state of the files, which is checked once a second. Output: a new plan of
//! checks, their maintenance windows, and the access settings. All of this happens on a separate
//! thread, because reading files may block.
//!
//! The metadata of the files is read once a second, instead of asking the kernel for notifications: that
//! holds on every file system, through any chain of links, and for files that are not there yet.

mod files;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime};

use metrics::{counter, gauge};
use tokio::runtime::Handle;
use tokio::time::Instant;
use vitalsign::checks::KINDS;
use vitalsign::config::{
    Attempt, ConfigError, DEFAULT_FILE, Details, Loaded, Loader, Settings, Watch,
};
use vitalsign::{Changes, Health};

use files::Files;
use vitalsign::log_targets;

/// Interval of checking the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Where the configuration comes from.
#[derive(Debug)]
pub(crate) struct Source {
    loader: Loader,
    /// `None` while it is the built-in one.
    file: Option<PathBuf>,
}

impl Source {
    /// The file that was named, else the default one if it is there, else the built-in text.
    pub(crate) fn new(config: Option<PathBuf>, listen: Option<SocketAddr>) -> Self {
        let loader = Loader::new(KINDS);
        let loader = match listen {
            Some(address) => loader.listen(address),
            None => loader,
        };
        Self { loader, file: config.or_else(default_file) }
    }

    /// Who sees details by these settings.
    pub(crate) fn details(&self, settings: &Settings) -> Details {
        let chosen = settings.server.details;
        match self.file {
            Some(_) => chosen.in_a_file(),
            None => chosen,
        }
    }

    /// Loads it for the first time.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        match &self.file {
            Some(path) => self.loader.load(path),
            None => self.loader.load_default(),
        }
    }
}

/// The default file, unless it is known to be missing.
fn default_file() -> Option<PathBuf> {
    let path = Path::new(DEFAULT_FILE);
    (!matches!(path.try_exists(), Ok(false))).then(|| path.to_owned())
}

/// Asks the thread that reloads.
#[derive(Debug, Clone)]
pub(crate) struct Reloads {
    orders: Sender<ReloadCommand>,
    stopping: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReloadCommand {
    Reload,
    Stop,
}

impl Reloads {
    /// Starts the thread; `settings` and `watch` are of the configuration that `health` runs.
    /// What is dropped with a check may need the runtime that `checks_on` names.
    pub(crate) fn start(
        source: Source,
        settings: Settings,
        watch: Watch,
        health: Health,
        checks_on: Handle,
    ) -> std::io::Result<Self> {
        announce();
        let (orders, received) = mpsc::channel();
        let stopping = Arc::<AtomicBool>::default();
        let mut reloader = Reloader {
            source,
            health,
            in_force: settings,
            files: Files::new(watch, Instant::now()),
            stopping: Arc::clone(&stopping),
        };
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let _runtime = checks_on.enter();
            reloader.work(&received);
        })?;
        Ok(Self { orders, stopping })
    }

    /// Reloads at once, unless the service is about to stop.
    pub(crate) fn reload_now(&self) {
        if self.stopping.load(Ordering::Acquire) || self.orders.send(ReloadCommand::Reload).is_err()
        {
            tracing::info!(
                target: log_targets::CONFIG,
                "SIGHUP is ignored while the service stops"
            );
        }
    }

    /// Nothing is reloaded from now on.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Without a receiver it has stopped already.
        let _ = self.orders.send(ReloadCommand::Stop);
    }
}

/// Shows the metrics from the start on: the first configuration counts as applied.
fn announce() {
    applied();
    for outcome in ["success", "failure"] {
        counter!("health_config_reloads_total", "outcome" => outcome).increment(0);
    }
}

fn applied() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    gauge!("health_config_last_reload_successful").set(1.0);
    gauge!("health_config_last_reload_success_timestamp_seconds").set(now.as_secs_f64());
}

struct Reloader {
    source: Source,
    health: Health,
    /// What the service runs with: those that need a restart are as at the start.
    in_force: Settings,
    files: Files,
    stopping: Arc<AtomicBool>,
}

impl Reloader {
    fn work(&mut self, orders: &Receiver<ReloadCommand>) {
        loop {
            match orders.recv_timeout(POLL_INTERVAL) {
                Ok(ReloadCommand::Reload) => {
                    // Several requests meanwhile need only one reload.
                    if orders.try_iter().any(|order| order == ReloadCommand::Stop) {
                        return;
                    }
                    self.catching_panics("signal");
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.files.have_changed(Instant::now()) {
                        self.catching_panics("change");
                    }
                }
                Ok(ReloadCommand::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A panic must not end reloading for good.
    fn catching_panics(&mut self, trigger: &'static str) {
        if catch_unwind(AssertUnwindSafe(|| self.reload(trigger))).is_err() {
            self.files.forget_change();
            refused(&self.health, trigger, vec!["a panic; see the log line before".to_owned()]);
        }
    }

    fn reload(&mut self, trigger: &'static str) {
        let Some(path) = self.source.file.clone().or_else(default_file) else {
            // As at the start, which has no file either.
            gauge!("health_config_last_reload_successful").set(1.0);
            self.health.reload_succeeded();
            self.files.forget_change();
            let file = DEFAULT_FILE;
            return tracing::info!(
                target: log_targets::CONFIG,
                trigger,
                file,
                "nothing to reload: the built-in configuration runs"
            );
        };
        let Attempt { result, watch, .. } = self.source.loader.attempt(&path);
        if trigger == "change" && !self.files.held_still(&watch) {
            return;
        }
        let result = self.judge(result, &path).and_then(|loaded| self.apply(loaded));
        match result {
            Ok(None) => {}
            Ok(Some(changes)) => {
                self.source.file = Some(path);
                self.files.follow(watch, Instant::now());
                self.health.reload_succeeded();
                succeeded(trigger, changes);
            }
            Err(errors) => {
                // What would make it right may be in a file of either.
                self.files.follow(watch.and(&self.files.watch), Instant::now());
                refused(&self.health, trigger, errors);
            }
        }
    }

    /// Refuses what is valid at a start, but would take a running service's checks away or show
    /// more than the listener allows.
    fn judge(
        &self,
        result: Result<Loaded, ConfigError>,
        path: &Path,
    ) -> Result<Loaded, Vec<String>> {
        let loaded = result.map_err(|error| lines(&error))?;
        let shown = path.display();
        if loaded.blank {
            return Err(vec![format!("{shown}:1:1: the file is empty; restart to run no checks")]);
        }
        if loaded.checks.is_empty() && !self.health.state().checks().is_empty() {
            let what = "no check is left; keep one, or restart to run none";
            return Err(vec![format!("{shown}:1:1: {what}")]);
        }
        let listen = self.in_force.server.listen;
        if loaded.settings.server.details == Details::Always
            && loaded.settings.server.listen != listen
        {
            // The new address needs a restart, so the details must suit the old one.
            let here = Loader::new(KINDS).listen(listen).load(path);
            here.map_err(|error| lines(&error))?;
        }
        Ok(loaded)
    }

    /// Brings it into force; `None` when the service stops meanwhile.
    fn apply(&mut self, loaded: Loaded) -> Result<Option<Changes>, Vec<String>> {
        if self.stopping.load(Ordering::Acquire) {
            return Ok(None);
        }
        let checks = loaded.checks.into_iter().map(|check| (check.name, check.declared)).collect();
        let windows = loaded.settings.maintenance.clone();
        let changes = self
            .health
            .set_checks_and_maintenance(checks, windows)
            .map_err(|error| vec![error.to_string()])?;
        let server = &loaded.settings.server;
        let (token, metrics_token) = (server.token.clone(), server.metrics_token.clone());
        self.health.set_access(server.details.in_a_file(), token, metrics_token);
        for warning in &loaded.warnings {
            tracing::warn!(
                target: log_targets::CONFIG,
                %warning, "the configuration is worth a second look"
            );
        }
        let options = self.in_force.needing_restart(&loaded.settings);
        if !options.is_empty() {
            let options = options.join(", ");
            tracing::warn!(
                target: log_targets::CONFIG,
                options, "a changed option needs a restart"
            );
        }
        Ok(Some(changes))
    }
}

fn lines(error: &ConfigError) -> Vec<String> {
    match error.diagnostics() {
        [] => vec![error.to_string()],
        found => found.iter().map(ToString::to_string).collect(),
    }
}

fn succeeded(trigger: &'static str, changes: Changes) {
    let Changes { added, changed, removed, untouched, .. } = changes;
    applied();
    counter!("health_config_reloads_total", "outcome" => "success").increment(1);
    tracing::info!(
        target: log_targets::CONFIG,
        trigger, added, changed, removed, untouched, "configuration reloaded"
    );
}

fn refused(health: &Health, trigger: &'static str, errors: Vec<String>) {
    gauge!("health_config_last_reload_successful").set(0.0);
    counter!("health_config_reloads_total", "outcome" => "failure").increment(1);
    for error in &errors {
        tracing::error!(target: log_targets::CONFIG, error, "the configuration is wrong");
    }
    tracing::error!(
        target: log_targets::CONFIG,
        trigger,
        errors = errors.len(),
        "configuration not reloaded: the one before stays in force"
    );
    health.reload_refused(errors);
}
