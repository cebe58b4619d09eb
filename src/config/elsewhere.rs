//! What other tools call an option, and what it is here.
//!
//! Most users come from another tool and type what it calls things. Spelling does not help there:
//! `endpoint` is far from `url`. So these names are listed, without their underscores and in lower case,
//! and each with our options in order: the first that the table in question has is meant.

use Ours::{Part, Same, Within};

/// An option of ours that a name of another tool stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ours {
    /// It is the same under another name.
    Same(&'static str),
    /// It is, or is a part of, this option, which is written as the advice says.
    Part(&'static str, &'static str),
    /// It is something within this option, which may hold other things as well.
    Within(&'static str, &'static str),
}

impl Ours {
    /// The option that the table must have for this to be meant.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Same(option) | Part(option, _) | Within(option, _) => option,
        }
    }
}

const HOST_AND_PORT: &str = "write both as `address = \"host:port\"`";
const LISTEN: &str = "write both as `listen = \"127.0.0.1:8080\"`";
const PART_OF_URL: &str = "it is a part of `url`";
const TIMEOUT: &str = "write `timeout` with a unit, such as \"500ms\" or \"2s\"";
const INTERVAL: &str = "write `interval` with a unit, such as \"30s\" or \"5m\"";
const GRACE: &str = "write `grace` with a unit, such as \"26h\"";
const STATUS: &str = "write `expect.status = [200]`";
const BODY: &str = "write `expect.body_regex = \"…\"`";
const REPLY: &str = "write `expect.regex = \"…\"`";
const INSECURE: &str = "write `tls = { insecure = true }`";
const AUTHORITY: &str = "write `tls = { ca = \"ca.pem\" }`";
const SERVER_NAME: &str = "write `tls = { server_name = \"…\" }`";
const LOGIN: &str = "write `basic_auth = { username = \"…\", password = \"…\" }`";

/// Names elsewhere, and our options.
const NAMES: [(&[&str], &[Ours]); 42] = [
    (&["type", "checktype", "probe", "prober", "module", "plugin"], &[Same("kind")]),
    (
        &["host", "hostname", "server", "ip"],
        &[
            Part("listen", LISTEN),
            Part("address", HOST_AND_PORT),
            Part("url", PART_OF_URL),
            Same("host"),
            Same("name"),
        ],
    ),
    (
        &["port"],
        &[Part("listen", LISTEN), Part("address", HOST_AND_PORT), Part("url", PART_OF_URL)],
    ),
    (
        &["bind", "addr", "listenaddress", "bindaddress"],
        &[Same("listen"), Same("address"), Same("url")],
    ),
    (
        &["url", "address", "endpoint", "target", "uri", "dsn", "link"],
        &[Same("listen"), Same("url"), Same("address"), Same("host"), Same("traces_endpoint")],
    ),
    (&["connectionstring", "connection", "databaseurl", "dburl"], &[Same("url")]),
    (
        &[
            "schedule",
            "every",
            "period",
            "frequency",
            "cron",
            "checkinterval",
            "scrapeinterval",
            "pollinterval",
            "refresh",
            "refreshinterval",
        ],
        &[Same("interval"), Same("grace")],
    ),
    (
        &["intervalms", "intervalseconds", "intervalsecs", "intervals", "periodseconds"],
        &[Part("interval", INTERVAL), Part("grace", GRACE)],
    ),
    (
        &[
            "timeoutms",
            "timeoutseconds",
            "timeoutsecs",
            "timeouts",
            "deadline",
            "connecttimeout",
            "requesttimeout",
            "readtimeout",
            "scrapetimeout",
            "maxtime",
        ],
        &[Part("timeout", TIMEOUT)],
    ),
    (
        &[
            "maxretries",
            "retry",
            "attempts",
            "maxattempts",
            "maxcheckattempts",
            "failures",
            "failurethreshold",
            "fall",
            "unhealthythreshold",
            "confirmations",
        ],
        &[Same("failure_threshold")],
    ),
    (&["rise", "healthythreshold", "recoverythreshold"], &[Same("success_threshold")]),
    (&["graceperiod", "gracetime", "within"], &[Same("grace")]),
    (
        &[
            "slow",
            "slowthreshold",
            "warnafter",
            "latencythreshold",
            "maxresponsetime",
            "responsetime",
        ],
        &[Same("degraded_after")],
    ),
    (&["slo", "sla", "availability", "targetavailability", "errorbudget"], &[Same("objective")]),
    (
        &["depends", "dependencies", "dependson", "parent", "parents", "after", "requires"],
        &[Same("depends_on")],
    ),
    (
        &["critical", "required", "probes", "blocking", "optional"],
        &[Part(
            "gates",
            "write `gates = [\"ready\"]`, or `gates = []` for a check that gates nothing",
        )],
    ),
    (
        &["disabled", "disable", "paused", "active"],
        &[Part("enabled", "write `enabled = false`, or leave it out")],
    ),
    (
        &["name", "title", "displayname", "label"],
        &[Part(
            "description",
            "the name of a check stands in its header, [checks.NAME]; for people it has a `description`",
        )],
    ),
    (&["tags", "tag", "annotations", "metadata"], &[Same("labels")]),
    (&["verb", "httpmethod", "requestmethod"], &[Same("method")]),
    (&["header", "httpheaders", "requestheaders"], &[Same("headers")]),
    (&["data", "payload", "requestbody"], &[Same("body"), Same("send")]),
    (&["followlocation", "follow", "redirects", "allowredirects"], &[Same("follow_redirects")]),
    (
        &[
            "status",
            "statuscode",
            "statuscodes",
            "expectedstatus",
            "expectedstatuscode",
            "expectstatus",
            "validstatuscodes",
            "code",
            "httpstatus",
        ],
        &[Same("status"), Within("follow_redirects", STATUS)],
    ),
    (
        &[
            "contains",
            "bodyregex",
            "expectedbody",
            "expectbody",
            "match",
            "matches",
            "regex",
            "pattern",
            "keyword",
            "search",
        ],
        &[
            Same("body_regex"),
            Same("regex"),
            Within("follow_redirects", BODY),
            Within("send", REPLY),
            Same("contains"),
        ],
    ),
    (
        &["username", "user", "password", "login", "auth", "basicauth", "credentials"],
        &[Part("basic_auth", LOGIN), Part("url", PART_OF_URL), Same("username")],
    ),
    (
        &["token", "bearertoken", "authtoken", "apikey", "authorization"],
        &[Same("bearer"), Same("token")],
    ),
    (
        &[
            "insecure",
            "insecureskipverify",
            "skipverify",
            "skiptlsverify",
            "tlsskipverify",
            "ignoretls",
            "verify",
            "verifyssl",
            "verifytls",
            "sslverify",
            "ignorecerterrors",
        ],
        &[Same("insecure"), Within("tls", INSECURE)],
    ),
    (
        &["ca", "cafile", "cacert", "cacertfile", "rootca", "cabundle", "sslrootcert"],
        &[Same("ca"), Within("tls", AUTHORITY)],
    ),
    (&["servername", "sni", "tlsservername"], &[Same("server_name"), Within("tls", SERVER_NAME)]),
    (
        &["certfile", "certificate", "tlscert", "clientcert"],
        &[Same("cert"), Within("tls", "write `tls = { cert = \"cert.pem\", key = \"key.pem\" }`")],
    ),
    (
        &["keyfile", "privatekey", "tlskey", "clientkey"],
        &[Same("key"), Within("tls", "write `tls = { cert = \"cert.pem\", key = \"key.pem\" }`")],
    ),
    (&["ssl", "https", "usetls", "usessl", "enabletls"], &[Same("tls")]),
    (&["cmd", "command", "exec", "script", "executable"], &[Same("program")]),
    (&["arguments", "argv", "params"], &[Same("args")]),
    (&["environment", "envs", "variables"], &[Same("env")]),
    (&["sql", "statement", "testquery"], &[Same("query")]),
    (&["record", "recordtype", "querytype", "rrtype"], &[Same("type")]),
    (&["nameserver", "dnsserver", "dns"], &[Same("resolver")]),
    (&["domain", "queryname", "fqdn"], &[Same("name"), Same("host")]),
    (
        &["file", "filename", "filepath", "directory", "dir", "mount", "mountpoint", "volume"],
        &[Same("path"), Same("files")],
    ),
    (&["level", "loglevels"], &[Same("log_level")]),
];

/// Sections of other tools, and ours.
const SECTIONS: [(&[&str], &str); 7] = [
    (
        &[
            "check",
            "endpoints",
            "targets",
            "monitors",
            "services",
            "jobs",
            "probes",
            "healthchecks",
            "modules",
        ],
        "checks",
    ),
    (&["global", "default"], "defaults"),
    (&["web", "http", "listen", "listener", "api"], "server"),
    (&["log", "logging", "tracing", "traces", "otel", "opentelemetry", "otlp"], "telemetry"),
    (&["storage", "database", "db", "store", "persistence"], "history"),
    (&["alerting", "alerts", "alertmanagers"], "alertmanager"),
    (&["downtime", "downtimes", "silences", "maintenancewindows", "windows"], "maintenance"),
];

/// A name without what differs among ways to write it: `failureThreshold` and `failure_threshold`
/// are one.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| !matches!(letter, '_' | '-'));
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// What the option `name` of another tool is here, among the options `known`.
pub(super) fn option<'a>(name: &str, known: &[&'a str]) -> Option<(&'a str, Ours)> {
    let name = plain(name);
    // One of ours that was only written otherwise, as `failureThreshold`.
    if let Some(same) = known.iter().find(|known| plain(known) == name) {
        return Some((same, Same("")));
    }
    let (_, ours) = NAMES.iter().find(|(names, _)| names.contains(&name.as_str()))?;
    ours.iter().find_map(|ours| {
        let option = known.iter().find(|known| **known == ours.option())?;
        Some((*option, *ours))
    })
}

/// The section that is called `name` elsewhere.
pub(super) fn section(name: &str) -> Option<&'static str> {
    let name = plain(name);
    SECTIONS.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, ours)| *ours)
}
