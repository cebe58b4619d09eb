//! The targets of the log lines: stable names to filter by, as in `RUST_LOG=vitalsign::check=warn`.
//!
//! A target names the subject of a line, not the module that writes it.

/// Status changes of checks, and failed runs that changed none.
pub const CHECK: &str = "vitalsign::check";
/// The schedule of runs, and the progress of the check runtime.
pub const SCHEDULER: &str = "vitalsign::scheduler";
/// Begin and end of maintenance windows.
pub const MAINTENANCE: &str = "vitalsign::maintenance";
/// Connections and requests.
pub const SERVER: &str = "vitalsign::server";
/// The history store.
pub const HISTORY: &str = "vitalsign::history";
/// The configuration and its reloads.
pub const CONFIG: &str = "vitalsign::config";
/// Start of the service, and each step of its stop.
pub const SERVICE: &str = "vitalsign::service";
/// Alerts to Alertmanager.
pub const ALERTMANAGER: &str = "vitalsign::alertmanager";
/// Spans to a collector.
pub const TELEMETRY: &str = "vitalsign::telemetry";
/// Every target, in the order of their names.
pub const ALL: [&str; 9] =
    [ALERTMANAGER, CHECK, CONFIG, HISTORY, MAINTENANCE, SCHEDULER, SERVER, SERVICE, TELEMETRY];
