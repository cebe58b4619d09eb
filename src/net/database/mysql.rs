//! How MySQL and MariaDB are reached.

use std::path::PathBuf;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use tokio::time::Instant;

use super::url::Known;
use super::{ConnectError, DatabaseUrl, Limits, ServerError, share};
use crate::config::{OptionError, Redaction, Secret};
use crate::model::Server;

const KNOWN: Known = Known {
    schemes: &["mysql", "mariadb", "mysql2"],
    parameters: &[
        "charset",
        "collation",
        "socket",
        "ssl-ca",
        "ssl-cert",
        "ssl-key",
        "ssl-mode",
        "statement-cache-capacity",
        "time-zone",
        "timezone",
    ],
    without_effect: &[
        "autocommit",
        "channel_binding",
        "compress",
        "connect-timeout",
        "connectTimeout",
        "connect_timeout",
        "loc",
        "parseTime",
        "read_timeout",
        "readTimeout",
        "timeout",
        "write_timeout",
        "writeTimeout",
    ],
    aliases: &[
        ("sslca", "ssl-ca"),
        ("sslcert", "ssl-cert"),
        ("sslkey", "ssl-key"),
        ("sslmode", "ssl-mode"),
        ("ssl_ca", "ssl-ca"),
        ("ssl_cert", "ssl-cert"),
        ("ssl_key", "ssl-key"),
        ("ssl_mode", "ssl-mode"),
        ("unix_socket", "socket"),
    ],
};

/// The servers that a URL names.
///
/// It has no `Debug`, for the connect options would show the password.
#[derive(Clone)]
pub(crate) struct MysqlServers {
    servers: Vec<MySqlConnectOptions>,
    url: DatabaseUrl,
}

impl MysqlServers {
    /// Reads the option `url`.
    pub(crate) fn read(text: &Secret, errors: &mut Vec<OptionError>) -> Option<Self> {
        let url = DatabaseUrl::read(text, &KNOWN, errors)?;
        let servers = url.options(&[], errors);
        (!servers.is_empty()).then(|| {
            let plain = |options| plain(options, &url);
            let servers = servers.into_iter().map(plain).collect();
            Self { servers, url }
        })
    }

    /// The servers with other TLS options.
    pub(crate) fn with_tls(
        mut self,
        set: impl Fn(MySqlConnectOptions) -> MySqlConnectOptions,
    ) -> Self {
        self.servers = self.servers.into_iter().map(set).collect();
        self
    }

    /// Whether the URL says how TLS is used.
    pub(crate) fn sets_tls(&self) -> bool {
        self.url.sets("ssl")
    }

    /// Whether the URL says that the server is MariaDB.
    pub(crate) fn is_mariadb(&self) -> bool {
        self.url.is("mariadb")
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
    pub(crate) fn first(&self) -> &MySqlConnectOptions {
        &self.servers[0]
    }

    /// Where a server with these options is.
    pub(crate) fn server(options: &MySqlConnectOptions) -> Server {
        let socket = options.get_socket().map(PathBuf::as_path);
        Server::of_database(options.get_host(), socket, options.get_port())
    }

    /// A connection to the first server that gives one.
    pub(crate) async fn connect(&self, limits: Limits) -> Result<MySqlConnection, ConnectError> {
        let until = Instant::now() + limits.connect;
        let mut failed = None;
        for (number, options) in self.servers.iter().enumerate() {
            let attempt = async { Ok(options.connect().await?) };
            let left = until.saturating_duration_since(Instant::now());
            match share(left, self.servers.len() - number, attempt).await {
                Ok(conn) => return Ok(conn),
                Err(error) => failed = Some(ConnectError { server: Self::server(options), error }),
            }
        }
        Err(failed.unwrap_or_else(|| ConnectError {
            server: Self::server(self.first()),
            error: ServerError::TimedOut,
        }))
    }
}

/// The options without the statement by which the driver would set up each session.
fn plain(options: MySqlConnectOptions, url: &DatabaseUrl) -> MySqlConnectOptions {
    // The driver looks up a literal address with its brackets as if it were a name.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    let mut options = options
        .host(&host)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging();
    if !url.sets("charset") && !url.sets("collation") {
        options = options.set_names(false);
    }
    if !url.sets("time") {
        options = options.timezone(None);
    }
    options
}
