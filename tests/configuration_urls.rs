//! Every option that holds a URL, and what is said of URLs as people write them.

use vitalsign::config::Loader;

/// An option that holds a URL.
struct Option {
    name: &'static str,
    /// A configuration with `URL` where the option's value stands.
    config: &'static str,
    scheme: &'static str,
    /// What follows the host.
    path: &'static str,
    takes: Takes,
}

/// What an option takes that others do not.
#[expect(clippy::struct_excessive_bools, reason = "a column of a table each")]
struct Takes {
    several_hosts: bool,
    no_host: bool,
    no_credentials: bool,
    no_blank: bool,
}

const NOTHING: Takes =
    Takes { several_hosts: false, no_host: false, no_credentials: false, no_blank: false };
const DATABASE: Takes = Takes { several_hosts: true, no_host: true, ..NOTHING };

const fn kind(name: &'static str, config: &'static str, scheme: &'static str) -> Option {
    Option { name, config, scheme, path: "", takes: NOTHING }
}

const OPTIONS: &[Option] = &[
    kind("amqp", "[checks.a]\nkind = 'amqp'\nurl = 'URL'\n", "amqp"),
    kind("http", "[checks.a]\nkind = 'http'\nurl = 'URL'\n", "http"),
    kind("https", "[checks.a]\nkind = 'http'\nurl = 'URL'\n", "https"),
    kind("kafka", "[checks.a]\nkind = 'kafka'\nurl = 'URL'\n", "kafka"),
    Option {
        takes: Takes { no_blank: true, ..NOTHING },
        ..kind("mongodb", "[checks.a]\nkind = 'mongodb'\nurl = 'URL'\n", "mongodb")
    },
    kind("mqtt", "[checks.a]\nkind = 'mqtt'\nurl = 'URL'\n", "mqtt"),
    kind("nats", "[checks.a]\nkind = 'nats'\nurl = 'URL'\n", "nats"),
    kind("redis", "[checks.a]\nkind = 'redis'\nurl = 'URL'\n", "redis"),
    kind("websocket", "[checks.a]\nkind = 'websocket'\nurl = 'URL'\n", "ws"),
    Option {
        takes: DATABASE,
        ..kind("mysql", "[checks.a]\nkind = 'mysql'\nurl = 'URL'\n", "mysql")
    },
    Option {
        takes: DATABASE,
        ..kind("postgres", "[checks.a]\nkind = 'postgres'\nurl = 'URL'\n", "postgres")
    },
    Option {
        takes: Takes { no_credentials: true, ..NOTHING },
        ..kind("vitalsign", "[checks.a]\nkind = 'vitalsign'\nurl = 'URL'\n", "http")
    },
    kind("alertmanager.urls", "[alertmanager]\nurls = ['URL']\n", "http"),
    Option {
        takes: Takes { no_credentials: true, ..NOTHING },
        ..kind("telemetry.traces_endpoint", "[telemetry]\ntraces_endpoint = 'URL'\n", "http")
    },
    Option {
        path: "/{trace_id}",
        takes: Takes { no_credentials: true, no_blank: true, ..NOTHING },
        ..kind("telemetry.trace_url", "[telemetry]\ntrace_url = 'URL'\n", "http")
    },
];

impl Option {
    /// What is wrong with this authority, or with a blank behind the URL; nothing where it is fine.
    fn errors(&self, scheme: &str, authority: &str, behind: &str) -> Vec<String> {
        let url = format!("{scheme}://{authority}{}{behind}", self.path);
        let config = self.config.replace("URL", &url);
        match Loader::new(vitalsign::checks::KINDS).parse("vitalsign.toml", &config) {
            Ok(_) => Vec::new(),
            Err(error) => error.diagnostics().iter().map(ToString::to_string).collect(),
        }
    }

    fn is_fine(&self, authority: &str, behind: &str) {
        let errors = self.errors(self.scheme, authority, behind);
        assert_eq!(errors, [""; 0], "{}: {authority:?}{behind:?}", self.name);
    }

    /// One message refuses it, which shows nothing of a password.
    fn is_refused(&self, scheme: &str, authority: &str, behind: &str, because: &str) {
        let errors = self.errors(scheme, authority, behind);
        let [error] = &*errors else { panic!("{}: {authority}: {errors:?}", self.name) };
        assert!(error.contains(because), "{}: {authority}: {error}", self.name);
        assert!(!error.contains("hunter2"), "{}: {error}", self.name);
    }
}

#[test]
fn a_host_is_a_name_with_underscores_too_or_an_address() {
    for option in OPTIONS {
        for authority in ["orders", "my_db:1234", "127.0.0.1", "[::1]", "[fd00::1]:1234"] {
            option.is_fine(authority, "");
        }
        if option.takes.no_blank {
            option.is_refused(option.scheme, "orders", " ", "");
        } else {
            option.is_fine("orders", " ");
        }
    }
}

#[test]
fn several_hosts_are_refused_as_such_where_one_is_asked() {
    for option in OPTIONS {
        for authority in ["one,two", "one:1,two:2", "[::1]:1,two", "user:hunter2@one:1,two:2"] {
            if option.takes.several_hosts {
                option.is_fine(authority, "");
            } else {
                option.is_refused(option.scheme, authority, "", "several hosts");
            }
        }
    }
}

#[test]
fn what_names_no_host_or_an_unknown_scheme_is_refused() {
    for option in OPTIONS {
        option.is_refused("gopher", "one", "", "");
        option.is_refused("gopher", "user:hunter2@one:1", "", "");
        option.is_refused(option.scheme, "one:port", "", "");
        if option.takes.no_host {
            option.is_fine("", "");
        } else if option.path.is_empty() {
            option.is_refused(option.scheme, "", "", "");
        }
    }
}

#[test]
fn credentials_are_taken_or_refused_with_the_place_that_they_belong_to() {
    for option in OPTIONS {
        let authority = "user:hunter2@orders:1234";
        if option.takes.no_credentials {
            option.is_refused(option.scheme, authority, "", "");
        } else {
            option.is_fine(authority, "");
        }
    }
}

/// A kind with a URL that is not in the table is one that nobody has tried.
#[test]
fn every_kind_with_a_url_is_tried() {
    let reference = vitalsign::config::Reference::of(vitalsign::checks::KINDS);
    for kind in &reference.kinds {
        let has_url = kind.table.options.iter().any(|option| option.path == "url");
        let tried = OPTIONS.iter().any(|option| option.name == kind.table.name);
        assert_eq!(has_url, tried, "{}", kind.table.name);
    }
}
