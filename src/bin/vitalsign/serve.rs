//! The service: starts, connects and stops its parts.
//!
//! Checks run on one runtime, and HTTP on the runtime of this thread, so that a check that blocks
//! its thread does not delay a probe, and `/health` can detect that the check runtime is stalled.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use vitalsign::alertmanager::Alertmanager;
use vitalsign::config::{ConfigError, Details, HISTORY_FILE, HistoryPlace, Loaded, Settings};
use vitalsign::history::{HistoryError, HistoryOptions};
use vitalsign::telemetry::{Guard, Telemetry};
use vitalsign::{Builder, Health, History, http};

use crate::exit::{CANNOT_LISTEN, CONFIGURATION, IO, OK, fail};
use crate::reload::{Reloads, Source};
use vitalsign::log_targets;

/// Threads of the check runtime: two, so that one that is blocked leaves another.
const CHECK_THREADS: usize = 2;

/// Time kept of the shutdown's for the last spans.
const FLUSH: Duration = Duration::from_secs(3);

/// Loads the configuration, or says all that is wrong with it.
pub(crate) fn load(source: &Source) -> Result<Loaded, u8> {
    match source.load() {
        Ok(valid) => {
            for warning in &valid.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(valid)
        }
        Err(error @ ConfigError::Invalid(_)) => {
            eprintln!("{error}");
            Err(CONFIGURATION)
        }
        Err(error) => Err(fail(CONFIGURATION, &error.to_string())),
    }
}

/// Describes the service of a configuration, without its checks.
pub(crate) fn describe(loaded: &Loaded) -> Builder {
    let service = &loaded.settings.service;
    let builder =
        Health::builder(&service.name).version(&service.version).instance(&service.instance);
    let builder = match &service.environment {
        Some(environment) => builder.environment(environment),
        None => builder,
    };
    match &loaded.settings.telemetry.trace_url {
        Some(template) => builder.trace_url(template),
        None => builder,
    }
}

/// `vitalsign serve`
pub(crate) fn serve(config: Option<PathBuf>, listen: Option<SocketAddr>) -> u8 {
    start(config, listen).err().unwrap_or(OK)
}

fn start(config: Option<PathBuf>, listen: Option<SocketAddr>) -> Result<(), u8> {
    let source = Source::new(config, listen);
    let loaded = load(&source)?;
    let (listener, server) = bind(&loaded)?;
    let cannot_start = |e: std::io::Error| fail(IO, &format!("cannot start a runtime: {e}"));
    let checks_on = runtime::Builder::new_multi_thread()
        .worker_threads(CHECK_THREADS)
        .thread_name("checks")
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    let serve_on = runtime::Builder::new_current_thread().enable_all().build();
    let serve_on = serve_on.map_err(cannot_start)?;
    // The recorder comes first: handles that are asked for before it go nowhere.
    let (recorder, exporter) = vitalsign::metrics::exporter();
    ::metrics::set_global_recorder(recorder).map_err(|e| fail(IO, &e.to_string()))?;
    vitalsign::metrics::describe();
    let telemetry = Telemetry::read(&(&loaded.settings).into(), |name| std::env::var(name).ok())
        .and_then(Telemetry::install)
        .map_err(|error| fail(CONFIGURATION, &error.to_string()))?;
    std::panic::set_hook(Box::new(log_panic));
    let runtimes =
        vec![("http", serve_on.handle().clone()), ("checks", checks_on.handle().clone())];
    serve_on.spawn(vitalsign::metrics::collect(exporter.clone(), runtimes));
    let stopped =
        serve_on.block_on(run(source, loaded, (listener, server), exporter, telemetry, &checks_on));
    // A check that blocks its thread must not keep the process.
    checks_on.shutdown_background();
    stopped
}

/// Listens where the configuration says.
fn bind(loaded: &Loaded) -> Result<(TcpListener, http::Server), u8> {
    let settings = &loaded.settings.server;
    let mut server = http::Server::new()
        .header_timeout(settings.header_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_connections(settings.max_connections as usize);
    if let Some(tls) = &settings.tls {
        let read = |path: &std::path::Path| {
            std::fs::read(path)
                .map_err(|e| fail(CONFIGURATION, &format!("server.tls: {}: {e}", path.display())))
        };
        let config = http::tls_config(&read(&tls.cert.0)?, &read(&tls.key.0)?)
            .map_err(|e| fail(CONFIGURATION, &format!("server.tls: {e}")))?;
        server = server.tls(config);
    }
    let address = settings.listen;
    let refuse = |e| fail(CANNOT_LISTEN, &format!("cannot listen on {address}: {e}"));
    let listener = TcpListener::bind(address).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    Ok((listener, server))
}

/// Serves until the first signal, drains, and stops within the shutdown timeout.
async fn run(
    source: Source,
    loaded: Loaded,
    (listener, server): (TcpListener, http::Server),
    exporter: PrometheusHandle,
    telemetry: Guard,
    checks_on: &Runtime,
) -> Result<(), u8> {
    let all_settings = loaded.settings.clone();
    let settings = loaded.settings.server.clone();
    let io = |e: std::io::Error| fail(IO, &format!("cannot start: {e}"));
    let mut signals = Signals::new().map_err(io)?;
    let mut hangups = signal(SignalKind::hangup()).map_err(io)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    // Before anything needs descriptors, or reports how many there are.
    let concurrent_runs = concurrent_runs();
    let history = history(&loaded).await?;
    let details = source.details(&all_settings);
    let mut builder = describe(&loaded)
        .details(details)
        .liveness_timeout(settings.liveness_timeout)
        .check_runtime(checks_on.handle().clone())
        .maintenance(loaded.settings.maintenance.clone())
        .max_concurrent_runs(concurrent_runs)
        .propagator(telemetry.propagator())
        .keep_traces_by_outcome(telemetry.keeps_traces())
        .measure_requests()
        .exporter(exporter);
    let (token, metrics_token) = (settings.token.is_some(), settings.metrics_token.is_some());
    if let Some(token) = settings.token {
        builder = builder.token(token);
    }
    if let Some(token) = settings.metrics_token {
        builder = builder.metrics_token(token);
    }
    if let Some(history) = &history {
        builder = builder.history(history.clone());
    }
    let alertmanager = alertmanager(&all_settings, address)?;
    if let Some(alertmanager) = &alertmanager {
        builder = builder.sink(alertmanager.sink());
    }
    let checks = loaded.checks.len();
    for check in loaded.checks {
        builder = builder.check(check.name, check.declared);
    }
    let health = builder.build().map_err(|e| fail(CONFIGURATION, &e.to_string()))?;
    let runtime = checks_on.handle().clone();
    let reloads =
        Reloads::start(source, all_settings, loaded.watch, health.clone(), runtime).map_err(io)?;
    let asked = reloads.clone();
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            asked.reload_now();
        }
    });
    tracing::info!(
        target: log_targets::SERVICE,
        %address, checks, version = env!("CARGO_PKG_VERSION"), "serving"
    );
    say_who_sees_details(details, token, address.ip());
    say_who_sees_metrics(metrics_token);

    let mut deadline = Instant::now();
    let stop = async {
        let signal = signals.next().await;
        deadline = Instant::now() + settings.shutdown_timeout;
        // On the other runtime, so that not even a busy server delays the second signal.
        checks_on.spawn(exit_at_second(signals));
        reloads.stop();
        health.drain();
        let drain_delay = humantime::format_duration(settings.drain_delay).to_string();
        tracing::info!(
            target: log_targets::SERVICE,
            signal, drain_delay, "draining: readiness is 503, all is still served"
        );
        tokio::time::sleep(settings.drain_delay).await;
        tracing::info!(
            target: log_targets::SERVICE,
            "the listener closes, requests in flight are finished"
        );
        let left = deadline.saturating_duration_since(Instant::now());
        deadline - FLUSH.min(left / 2)
    };
    let stopped = server.serve(listener, health.clone().into_app(), stop).await;
    if stopped.requests_cut > 0 {
        tracing::warn!(
            target: log_targets::SERVICE,
            requests = stopped.requests_cut, "requests were cut at the deadline"
        );
    }
    drop(health);
    let left = deadline.saturating_duration_since(Instant::now());
    let alerts = async {
        if let Some(alertmanager) = alertmanager {
            alertmanager.stop(left).await;
        }
    };
    let close = async {
        if let Some(history) = history {
            history.close(left).await;
        }
    };
    // Side by side: none may use up the others' time.
    tokio::join!(alerts, close, telemetry.shutdown(left));
    tracing::info!(target: log_targets::SERVICE, "stopped");
    Ok(())
}

/// Logs what the rule on details means here, where that may come as a surprise.
fn say_who_sees_details(details: Details, token: bool, listens_on: IpAddr) {
    match details {
        Details::Token if !token => {
            tracing::info!(
                target: log_targets::SERVICE,
                "nobody sees details: `server.token` would give the right to them"
            );
        }
        Details::Auto | Details::Loopback
            if listens_on.is_loopback() || listens_on.is_unspecified() =>
        {
            tracing::info!(
                target: log_targets::SERVICE,
                "every client of this host sees details; behind a proxy on this host that adds no \
                 forwarding header that is everybody, and `details = \"token\"` would be right"
            );
        }
        _ => {}
    }
}

/// Logs that `/metrics` is open, where it is: its labels say more than names.
fn say_who_sees_metrics(token: bool) {
    if !token {
        tracing::info!(
            target: log_targets::SERVICE,
            "/metrics is open to everybody who reaches this listener, and names hosts, ports and \
             labels: `server.metrics_token` would protect it"
        );
    }
}

/// Starts to send alerts, if the configuration says where to; `address` is where we listen.
fn alertmanager(settings: &Settings, address: SocketAddr) -> Result<Option<Alertmanager>, u8> {
    let Some(to) = &settings.alertmanager else { return Ok(None) };
    let mut builder =
        Alertmanager::builder(&settings.service.name).instance(&settings.service.instance);
    for url in &to.urls {
        builder = builder.url(url.clone());
    }
    for (name, value) in &to.headers {
        builder = builder.header(name, value.clone());
    }
    if let Some(token) = &to.token {
        builder = builder.token(token);
    }
    if let Some(template) = &settings.telemetry.trace_url {
        builder = builder.trace_url(template);
    }
    if let Some(link) = own_url(settings, address) {
        builder = builder.link(link);
    }
    let started = builder.start();
    started.map(Some).map_err(|e| fail(CONFIGURATION, &format!("alertmanager: {e}")))
}

/// Where people find this service: by the host's name when it listens on every address.
fn own_url(settings: &Settings, address: SocketAddr) -> Option<url::Url> {
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    let host = if address.ip().is_unspecified() {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("{host}:{}", address.port())
    } else {
        address.to_string()
    };
    url::Url::parse(&format!("{scheme}://{host}/")).ok()
}

/// Opens the history, where one is kept.
async fn history(loaded: &Loaded) -> Result<Option<History>, u8> {
    let settings = &loaded.settings;
    let name = || settings.service.name.clone();
    let instance = || settings.service.instance.clone();
    let retention = settings.history.retention;
    let options = match &settings.history.place {
        HistoryPlace::Off => return Ok(None),
        HistoryPlace::Default => HistoryOptions::file(HISTORY_FILE, name(), instance()),
        HistoryPlace::File(path) => HistoryOptions::file(path, name(), instance()),
        HistoryPlace::Postgres(url) => HistoryOptions::new(url.expose(), name(), instance())
            .map_err(|e| fail(CONFIGURATION, &format!("history.url: {e}")))?,
    };
    let opened = match History::open(options.retention(retention)).await {
        Err(error @ HistoryError::CannotOpen { .. })
            if settings.history.place == HistoryPlace::Default =>
        {
            let cause = error.to_string();
            tracing::warn!(
                target: log_targets::HISTORY,
                cause, "the history is kept in memory and ends with this process"
            );
            let in_memory = HistoryOptions::in_memory(name(), instance());
            History::open(in_memory.retention(retention)).await
        }
        opened => opened,
    };
    opened.map(Some).map_err(|e| fail(IO, &e.to_string()))
}

/// The signals that ask to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}

/// A second signal means that nobody wants to wait.
async fn exit_at_second(mut signals: Signals) {
    let signal = signals.next().await;
    tracing::warn!(target: log_targets::SERVICE, signal, "second signal: stopped at once");
    std::process::exit(128 + signal);
}

/// Half of the descriptors that this process may open: each run may hold one, and clients and
/// files need some too. The soft limit is raised to the hard one first.
fn concurrent_runs() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let descriptors = limit.current.unwrap_or(u64::from(u32::MAX));
    usize::try_from(descriptors / 2).unwrap_or(usize::MAX).clamp(16, 16_384)
}

/// Logs where a panic happened, and its text if that is a part of the program: a computed one may
/// hold what nobody should read.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let text = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(target: log_targets::SERVICE, place, text, "a panic");
}
