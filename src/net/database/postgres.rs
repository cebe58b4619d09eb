//! Connects to PostgreSQL, like libpq.
//!
//! # TLS
//! `sslmode=prefer` tries TLS first; if the handshake fails, or the server refuses the login over
//! TLS, it tries again without TLS. `sslmode=allow` does the opposite. With a root in
//! `sslrootcert`, `require` verifies the certificate like `verify-ca`, and `sslrootcert=system`
//! verifies against the system's authorities and the name.
//!
//! # Sessions
//! `target_session_attrs` is checked after the login. A server that cannot answer, such as a
//! pooler's console, is accepted.
//!
//! # Poolers
//! At the start of a session nothing is sent that PgBouncer refuses by default, except the limit on
//! statements: it is a start-up parameter, so that a query is sent as it is written. If it is
//! refused, the session is started again without it, and later sessions start without it at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::time::Instant;

use super::url::Known;
use super::{ConnectError, DatabaseUrl, Limits, ServerError, share};
use crate::config::{OptionError, Redaction, Secret};
use crate::model::{Server, without_byte_order_mark};

pub(super) const KNOWN: Known = Known {
    schemes: &["postgres", "postgresql", "postgis", "pgsql"],
    parameters: &[
        "application_name",
        "dbname",
        "host",
        "hostaddr",
        "options",
        "password",
        "port",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "statement-cache-capacity",
        SESSION,
        "user",
    ],
    without_effect: &[
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    ],
    aliases: &[
        ("ssl", "sslmode"),
        ("ssl-ca", "sslrootcert"),
        ("ssl-cert", "sslcert"),
        ("ssl-key", "sslkey"),
        ("ssl-mode", "sslmode"),
        ("ssl-root-cert", "sslrootcert"),
    ],
};

const SESSION: &str = "target_session_attrs";

/// What `target_session_attrs` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Session {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" | "master" => Self::Primary,
            "standby" | "slave" | "secondary" => Self::Standby,
            "prefer-standby" | "preferSecondary" => Self::PreferStandby,
            _ => return None,
        })
    }

    /// The query for a server's role, the expected answer, and the message for another answer.
    const fn question(self) -> Option<(&'static str, &'static str, &'static str)> {
        const READ_ONLY: &str = "SHOW transaction_read_only";
        const IN_RECOVERY: &str =
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END";
        match self {
            Self::Any => None,
            Self::ReadWrite => {
                Some((READ_ONLY, "off", "its sessions are read-only, and read-write is asked for"))
            }
            Self::ReadOnly => {
                Some((READ_ONLY, "on", "its sessions are read-write, and read-only is asked for"))
            }
            Self::Primary => {
                Some((IN_RECOVERY, "off", "it is a standby, and a primary is asked for"))
            }
            Self::Standby | Self::PreferStandby => {
                Some((IN_RECOVERY, "on", "it is a primary, and a standby is asked for"))
            }
        }
    }
}

/// The servers that a URL names.
///
/// It has no `Debug`, for the connect options would show the password.
#[derive(Clone)]
pub(crate) struct PostgresServers {
    servers: Vec<PgConnectOptions>,
    /// How a login is tried again that was refused.
    second_mode: Option<PgSslMode>,
    session: Session,
    url: DatabaseUrl,
    /// Whether the limit on statements was refused at the start of a session.
    limit_refused: Arc<AtomicBool>,
}

impl PostgresServers {
    /// Reads the option `url`.
    pub(crate) fn read(text: &Secret, errors: &mut Vec<OptionError>) -> Option<Self> {
        let url = DatabaseUrl::read(text, &KNOWN, errors)?;
        let session = match url.get(SESSION) {
            None => Session::Any,
            Some(text) => Session::read(&text).unwrap_or_else(|| {
                let message = "target_session_attrs is not known; right are any, read-write, \
                               read-only, primary, standby and prefer-standby";
                errors.push(OptionError::new("url", message));
                Session::Any
            }),
        };
        let (mode, root) = (url.get("sslmode"), url.get("sslrootcert"));
        let system = root.as_deref() == Some("system");
        let mode_of = |text: &str| match text {
            "true" | "1" | "no-verify" => "require".to_owned(),
            "false" | "0" => "disable".to_owned(),
            text => text.to_owned(),
        };
        let mode = mode.as_deref().map(mode_of);
        let mut handled = vec![SESSION, "sslmode"];
        if system {
            handled.push("sslrootcert");
        }
        let servers: Vec<PgConnectOptions> = url.options(&handled, errors);
        let mode = match mode.map(|mode| mode.parse::<PgSslMode>()) {
            None => servers.first().map_or(PgSslMode::Prefer, PgConnectOptions::get_ssl_mode),
            Some(Ok(mode)) => mode,
            Some(Err(_)) => {
                let message = "a value in it is not valid: its TLS mode; right are disable, allow, \
                               prefer, require, verify-ca and verify-full";
                errors.push(OptionError::new("url", message));
                PgSslMode::Prefer
            }
        };
        let verified = match mode {
            _ if system => PgSslMode::VerifyFull,
            PgSslMode::Require if root.is_some() => PgSslMode::VerifyCa,
            mode => mode,
        };
        let second_mode = match verified {
            PgSslMode::Prefer => Some(PgSslMode::Disable),
            PgSslMode::Allow => Some(PgSslMode::Require),
            _ => None,
        };
        let pem = |name| url.get(name).and_then(|path| without_mark(&path));
        let root = pem("sslrootcert").filter(|_| !system);
        let (cert, key) = (pem("sslcert"), pem("sslkey"));
        let options = |options| {
            let mut options: PgConnectOptions = plain(options).ssl_mode(verified);
            if let Some(root) = &root {
                options = options.ssl_root_cert_from_pem(root.clone());
            }
            if let Some(cert) = &cert {
                options = options.ssl_client_cert_from_pem(cert);
            }
            if let Some(key) = &key {
                options = options.ssl_client_key_from_pem(key);
            }
            options
        };
        (!servers.is_empty()).then(|| Self {
            servers: servers.into_iter().map(options).collect(),
            second_mode,
            session,
            url,
            limit_refused: Arc::default(),
        })
    }

    /// The servers with other TLS options, by which alone they are asked.
    pub(crate) fn with_tls(mut self, set: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        self.second_mode = None;
        self.with(set)
    }

    /// The servers with other options.
    pub(crate) fn with(mut self, set: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        self.servers = self.servers.into_iter().map(set).collect();
        self
    }

    /// Whether the URL says how TLS is used.
    pub(crate) fn sets_tls(&self) -> bool {
        self.url.sets("ssl")
    }

    /// Hides the password.
    pub(crate) fn redaction(&self) -> Redaction {
        self.url.redaction()
    }

    /// What is said once about the URL.
    pub(crate) fn warning(&self) -> Option<String> {
        self.url.warning()
    }

    /// The options of the server that is tried first.
    pub(crate) fn first(&self) -> &PgConnectOptions {
        &self.servers[0]
    }

    /// Where a server with these options is.
    pub(crate) fn server(options: &PgConnectOptions) -> Server {
        let socket = options.get_socket().map(PathBuf::as_path);
        Server::of_database(options.get_host(), socket, options.get_port())
    }

    /// A connection to the first server that gives one of the kind that is asked for.
    pub(crate) async fn connect(&self, limits: Limits) -> Result<PgConnection, ConnectError> {
        let until = Instant::now() + limits.connect;
        let rounds: &[Session] = match self.session {
            Session::PreferStandby if self.servers.len() > 1 => &[Session::Standby, Session::Any],
            Session::PreferStandby => &[Session::Any],
            ref one => std::slice::from_ref(one),
        };
        let mut attempts = rounds.len() * self.servers.len();
        let mut failed = None;
        for session in rounds {
            for options in &self.servers {
                let left = until.saturating_duration_since(Instant::now());
                let attempt = self.session(options, *session, limits.statement);
                match share(left, attempts, attempt).await {
                    Ok(conn) => return Ok(conn),
                    Err(error) => {
                        failed = Some(ConnectError { server: Self::server(options), error });
                    }
                }
                attempts -= 1;
            }
        }
        Err(failed.unwrap_or_else(|| ConnectError {
            server: Self::server(self.first()),
            error: ServerError::TimedOut,
        }))
    }

    async fn session(
        &self,
        options: &PgConnectOptions,
        session: Session,
        statement: Option<Duration>,
    ) -> Result<PgConnection, ServerError> {
        let mut conn = self.limited(options, statement).await?;
        let Some((sql, right, otherwise)) = session.question() else { return Ok(conn) };
        let answer = sqlx::raw_sql(sql).fetch_optional(&mut conn).await;
        let value = match answer {
            Ok(row) => row.and_then(|row| row.try_get_unchecked::<String, _>(0).ok()),
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(error.into()),
        };
        match value.as_deref() {
            Some(value @ ("on" | "off")) if value != right => {
                // A farewell spares the server a line in its log.
                let _ = conn.close().await;
                Err(ServerError::WrongSession(otherwise))
            }
            _ => Ok(conn),
        }
    }

    /// A session whose statements end after `limit`, where the server takes one.
    async fn limited(
        &self,
        options: &PgConnectOptions,
        limit: Option<Duration>,
    ) -> Result<PgConnection, ServerError> {
        let limit = limit.filter(|_| !self.limit_refused.load(Ordering::Relaxed));
        let Some(limit) = limit else { return self.login(options).await };
        let limit = limit.as_millis().max(1).to_string();
        let limited = options.clone().options([("statement_timeout", &limit)]);
        match self.login(&limited).await {
            Err(ServerError::Driver(error)) if is_about_a_parameter(&error) => {
                self.limit_refused.store(true, Ordering::Relaxed);
                self.login(options).await
            }
            result => result,
        }
    }

    /// Logs in, and once more with or without TLS where the mode allows both.
    async fn login(&self, options: &PgConnectOptions) -> Result<PgConnection, ServerError> {
        let first = match options.connect().await {
            Ok(conn) => return Ok(conn),
            Err(error) => error,
        };
        let Some(mode) = self.second_mode.filter(|_| is_worth_the_other_mode(&first)) else {
            return Err(first.into());
        };
        match options.clone().ssl_mode(mode).connect().await {
            Ok(conn) => Ok(conn),
            // The rule of the server that let nobody in by that mode says less than the other.
            Err(second) if is_no_entry(&first) && !is_no_entry(&second) => Err(second.into()),
            Err(_) => Err(first.into()),
        }
    }
}

/// The contents of a PEM file that begins with a byte order mark, without it: the driver, which
/// reads the file itself, would pass over the line that begins with one.
fn without_mark(path: &str) -> Option<Vec<u8>> {
    let contents = std::fs::read(path).ok()?;
    let pem = without_byte_order_mark(&contents);
    (pem.len() < contents.len()).then(|| pem.to_vec())
}

/// The options without what one short session does not need.
fn plain(options: PgConnectOptions) -> PgConnectOptions {
    // The driver looks up a literal address with its brackets as if it were a name.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    // PgBouncer refuses a start-up parameter that it does not know.
    options.host(&host).extra_float_digits(None).disable_statement_logging()
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the server refused a start-up parameter: PgBouncer's 08P01, and what others say.
fn is_about_a_parameter(error: &sqlx::Error) -> bool {
    let Some(code) = code(error) else { return false };
    let text = error.as_database_error().map_or("", |error| error.message());
    match code.as_str() {
        "08P01" => text.contains("parameter"),
        "22023" | "42704" | "42601" | "0A000" => true,
        _ => false,
    }
}

/// Whether libpq would try the other mode of `prefer` and `allow` after `error`: the login was
/// refused, or the handshake failed.
fn is_worth_the_other_mode(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => {
            error.get_ref().is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some())
        }
        _ => code(error).is_some_and(|code| code.starts_with("28")),
    }
}

/// Whether no line of `pg_hba.conf` lets the login in.
fn is_no_entry(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("28000")
}
