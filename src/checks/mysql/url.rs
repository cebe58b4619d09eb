//! What the URLs of MySQL and MariaDB may hold.

use crate::net::database::Known;

pub(super) const KNOWN: Known = Known {
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
