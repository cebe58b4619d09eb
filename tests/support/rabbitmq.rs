//! A RabbitMQ node of a test's own. It takes seconds to start, so that a test asks it many things.
//!
//! ```ignore
//! let Some(mut server) = RabbitMq::start().await else { return };
//! let url = server.url("app:password@", "/orders");
//! server.publish("orders", 3).await;
//! server.freeze();
//! ```

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::certs::{Authority, Identity};
use super::daemon::{Daemon, User, free_port, left_out, server_dir, succeed, wait_for};

/// What Debian's own script starts, which may not be run by every user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

const LOG: &str = "log";

/// The password of every user.
pub(crate) const PASSWORD: &str = "hunter2-s3cr3t";

/// The queues of the virtual host `/`, each with its arguments.
const QUEUES: [(&str, &str); 6] = [
    ("orders", "{}"),
    ("jobs", r#"{"x-queue-type": "quorum"}"#),
    ("ordered", r#"{"x-queue-type": "quorum", "x-single-active-consumer": true}"#),
    ("events", r#"{"x-queue-type": "stream"}"#),
    ("bounded", r#"{"x-queue-type": "stream", "x-max-length-bytes": 1000000, "x-max-age": "7D"}"#),
    ("silent", r#"{"x-queue-type": "stream"}"#),
];

/// The name of the user that a client certificate logs in.
pub(crate) const CERTIFIED: &str = "certified";

/// A user that may ask for queues and read none.
pub(crate) const WATCHER: &str = "watcher";

/// A user that may open no channel.
pub(crate) const LIMITED: &str = "limited";

/// What Debian's own script would have run as another user.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// A node on loopback ports, with the virtual hosts `/`, which user `app` may use, `closed`, which
/// it may not, and `full`, which takes no connection; `/` has the queues of [`QUEUES`].
pub(crate) struct RabbitMq {
    // Before the directory, so that the node is gone when that is removed.
    node: Option<Daemon>,
    _names: Daemon,
    dir: TempDir,
    port: u16,
    tls_port: u16,
    names_port: u16,
    /// Who vouches for it, and for the clients that it knows by certificate.
    pub(crate) authority: Authority,
}

impl RabbitMq {
    /// A node that is ready; none, with a notice, where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        if !Path::new(SERVER).exists() {
            left_out("rabbitmq-server");
            return None;
        }
        // Its ports were free a moment ago; should another have taken one, the next ones will do.
        for _ in 0..3 {
            let mut server = Self::launch().await;
            if server.node.as_mut().is_some_and(Daemon::runs) {
                return Some(server);
            }
            eprintln!("RabbitMQ does not start: {}", server.log());
        }
        panic!("RabbitMQ does not start");
    }

    /// Starts a node, until it listens or ends.
    async fn launch() -> Self {
        let user = User::named("rabbitmq");
        let dir = server_dir();
        let at = dir.path();
        user.own(at);
        let authority = Authority::new();
        let Identity { cert, key } = authority.issue("127.0.0.1");
        let [port, tls_port, names_port, node_port] = [(); 4].map(|()| free_port());
        for (name, text) in [
            ("ca.pem", authority.pem.as_str()),
            ("cert.pem", &cert),
            ("key.pem", &key),
            ("definitions.json", &definitions()),
            ("enabled_plugins", "[rabbitmq_auth_mechanism_ssl]."),
            ("rabbitmq.conf", &settings(at, port, tls_port)),
        ] {
            user.write(&at.join(name), text);
        }
        let environment = |command: &mut Command| {
            command
                .env("HOME", at)
                .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                .env("ERL_EPMD_PORT", names_port.to_string())
                .current_dir(at);
        };
        // Else the node starts a daemon of it that outlives the test.
        let mut names = user.command("epmd");
        environment(&mut names);
        let mut names = Daemon::start(names, &at.join("epmd.log"));
        let epmd =
            async || !names.runs() || TcpStream::connect(("127.0.0.1", names_port)).await.is_ok();
        wait_for("epmd to listen", epmd).await;

        let mut node = user.command(SERVER);
        environment(&mut node);
        node.env("RABBITMQ_NODENAME", "tests@localhost")
            .env("RABBITMQ_DIST_PORT", node_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", at.join("data"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_CONFIG_FILE", at.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at.join("enabled_plugins"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ARGUMENTS)
            // Without a shell between, so that the process is the node itself.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .arg("-noinput");
        let mut node = Daemon::start(node, &at.join(LOG));
        // Listeners of TLS start last.
        let listens =
            async || !node.runs() || TcpStream::connect(("127.0.0.1", tls_port)).await.is_ok();
        wait_for("RabbitMQ to listen", listens).await;
        Self { node: Some(node), _names: names, dir, port, tls_port, names_port, authority }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// A URL with `credentials` such as `app:password@` and a `path` such as `/orders`.
    pub(crate) fn url(&self, credentials: &str, path: &str) -> String {
        format!("amqp://{credentials}127.0.0.1:{}{path}", self.port)
    }

    /// The same with TLS.
    pub(crate) fn tls_url(&self, credentials: &str) -> String {
        format!("amqps://{credentials}127.0.0.1:{}", self.tls_port)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    /// The lines of its log that are errors or warnings about clients.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.log();
        let complains = |line: &&str| {
            let serious = line.contains("[error]") || line.contains("[warning]");
            serious && (line.contains("connection") || line.contains("operation"))
        };
        log.lines().filter(complains).map(String::from).collect()
    }

    /// Has the node evaluate an `expression` of Erlang.
    pub(crate) fn evaluate(&self, expression: &str) {
        let mut command = User::named("rabbitmq").command(CONTROL);
        command
            .env("HOME", self.dir.path())
            .env("ERL_EPMD_PORT", self.names_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .current_dir(self.dir.path())
            .args(["--node", "tests@localhost", "--silent", "eval", expression]);
        succeed(command);
    }

    /// A connection that has this queue of the virtual host `/` for itself.
    pub(crate) async fn hold(&self, queue: &str) -> TcpStream {
        const EXCLUSIVE: &[u8] = &[4, 0, 0, 0, 0];
        let declare = [b"\0\0", &short(queue)[..], EXCLUSIVE].concat();
        let sent = [login(), method(1, [50, 10], &declare)].concat();
        self.ask(&sent, |answers| answers.windows(4).any(|part| *part == [0, 50, 0, 11])).await
    }

    /// Puts messages into a queue of the virtual host `/`.
    pub(crate) async fn publish(&self, queue: &str, count: usize) {
        let mut sent = login();
        for _ in 0..count {
            let publish = [b"\0\0\0", &short(queue)[..], b"\0"].concat();
            sent.extend(method(1, [60, 40], &publish));
            sent.extend(frame(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0\x01\0\0"));
            sent.extend(frame(3, 1, b"x"));
        }
        sent.extend(method(1, [20, 40], &[0; 7]));
        sent.extend(method(0, [10, 50], &[0; 7]));
        // It resets the connection at the end.
        let agreed = method(0, [10, 51], b"");
        self.ask(&sent, |answers| answers.ends_with(&agreed)).await;
    }

    /// Sends all of that, until the answers are `complete`.
    async fn ask(&self, sent: &[u8], complete: impl Fn(&[u8]) -> bool) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        stream.write_all(sent).await.expect("to send");
        let mut answers = Vec::new();
        while !complete(&answers) {
            let read = stream.read_buf(&mut answers).await.expect("to be answered");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answers));
        }
        stream
    }

    /// Shuts down and awaits the end.
    pub(crate) async fn stop(&mut self) {
        self.node.take().expect("a running node").stop(Signal::TERM).await;
    }

    /// Stops it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.node.as_ref().expect("a running node").signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.node.as_ref().expect("a running node").signal_all(Signal::CONT);
    }
}

/// From the greeting to an open channel, as the user `app`.
fn login() -> Vec<u8> {
    let login = format!("\0app\0{PASSWORD}");
    let start_ok = [&long(b"")[..], &short("PLAIN"), &long(login.as_bytes()), &short("")];
    let mut sent = b"AMQP\x00\x00\x09\x01".to_vec();
    sent.extend(method(0, [10, 11], &start_ok.concat()));
    sent.extend(method(0, [10, 31], &[7, 255, 0, 2, 0, 0, 0, 0]));
    sent.extend(method(0, [10, 40], b"\x01/\0\0"));
    sent.extend(method(1, [20, 10], b"\0"));
    sent
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xCE]].concat()
}

fn method(channel: u16, [class, number]: [u8; 2], fields: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&[0, class, 0, number], fields].concat())
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("no long text");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// Loopback alone, and no thread that spins while it waits.
const ARGUMENTS: &str = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none";

fn settings(at: &Path, port: u16, tls_port: u16) -> String {
    let at = at.display();
    format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n\
         ssl_options.cacertfile = {at}/ca.pem\nssl_options.certfile = {at}/cert.pem\n\
         ssl_options.keyfile = {at}/key.pem\nssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = false\n\
         auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
         ssl_cert_login_from = subject_alternative_name\nssl_cert_login_san_type = dns\n\
         loopback_users = none\nload_definitions = {at}/definitions.json\n"
    )
}

fn definitions() -> String {
    let hosts = ["/", "closed", "full"];
    let permissions = |user: &'static str| {
        move |host: &&str| {
            serde_json::json!({
                "user": user, "vhost": host, "configure": ".*", "write": ".*", "read": ".*",
            })
        }
    };
    let app = hosts.iter().filter(|host| **host != "closed").map(permissions("app"));
    let certified = hosts.iter().take(1).map(permissions(CERTIFIED));
    let limited = hosts.iter().take(1).map(permissions(LIMITED));
    let watcher = serde_json::json!({
        "user": WATCHER, "vhost": "/", "configure": "", "write": "", "read": "",
    });
    let queues = QUEUES.map(|(name, arguments)| {
        let arguments: serde_json::Value = serde_json::from_str(arguments).expect("JSON");
        serde_json::json!({
            "name": name, "vhost": "/", "durable": true, "auto_delete": false,
            "arguments": arguments,
        })
    });
    serde_json::json!({
        "users": [
            { "name": "app", "password": PASSWORD, "tags": "" },
            { "name": CERTIFIED, "password": PASSWORD, "tags": "" },
            { "name": WATCHER, "password": PASSWORD, "tags": "" },
            {
                "name": LIMITED, "password": PASSWORD, "tags": "",
                "limits": { "max-channels": 0 },
            },
        ],
        "vhosts": hosts.map(|name| serde_json::json!({ "name": name })),
        "parameters": [{
            "component": "vhost-limits", "name": "limits", "vhost": "full",
            "value": { "max-connections": 0 },
        }],
        "permissions": app.chain(certified).chain(limited).chain([watcher]).collect::<Vec<_>>(),
        "queues": queues,
    })
    .to_string()
}
