//! MySQL and MariaDB refuse a host whose connections end before a login too often. No run counts,
//! however it fails.

use std::sync::Arc;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use vitalsign::{Check, Failure, Reason};

use super::tls::Authority;
use super::{PLENTY, SHORT, ask, check, failure};
use crate::support::daemon::wait_for;
use crate::support::mariadb::{MariaDb, PASSWORD, USER};

/// More than the servers here forgive.
const RUNS: usize = 5;
const SETTINGS: [&str; 2] = ["max-connect-errors=3", "skip-name-resolve=0"];

/// A way to a server from an address of this host that the server does not always let in, as it
/// does 127.0.0.1.
struct Detour {
    port: u16,
}

impl Detour {
    async fn to(server: &MariaDb) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback listener");
        let port = listener.local_addr().expect("its address").port();
        let server = ([127, 0, 0, 1], server.port()).into();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let socket = TcpSocket::new_v4().expect("a socket");
                    socket.bind(([127, 0, 0, 2], 0).into()).expect("another address");
                    if let Ok(mut server) = socket.connect(server).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { port }
    }

    fn url(&self, user: &str, password: &str, rest: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{rest}", self.port)
    }

    /// Whether an application on this host gets in.
    async fn lets_in(&self) -> Result<(), sqlx::Error> {
        let options = MySqlConnectOptions::new().host("127.0.0.1").port(self.port);
        let options = options.username(USER).password(PASSWORD).ssl_mode(MySqlSslMode::Disabled);
        options.connect().await?.close().await
    }
}

/// Forgets the errors that were counted, without a login that would do so too.
async fn forgive(server: &MariaDb) {
    server.execute("FLUSH HOSTS").await;
}

/// Waits until the server has dealt with every connection.
async fn settled(server: &MariaDb) {
    wait_for("the logins to end", async || server.unauthenticated().await == 0).await;
}

/// Connections that ended before or by a login that was refused.
const ABORTED: &str = "Aborted_connects";

/// Waits until the server has dealt with as many more of them.
async fn aborted(server: &MariaDb, before: i64) {
    let more = i64::try_from(RUNS).expect("a few");
    wait_for("the connections to end", async || server.status(ABORTED).await >= before + more)
        .await;
}

async fn fails_without_harm(
    server: &MariaDb,
    road: &Detour,
    check: Arc<dyn Check>,
    wanted: Option<Reason>,
    case: &str,
) {
    forgive(server).await;
    for _ in 0..RUNS {
        let verdict = ask(&*check, PLENTY).await;
        assert_eq!(verdict.as_ref().err().map(Failure::reason), wanted, "{case}: {verdict:?}");
    }
    settled(server).await;
    if let Err(error) = road.lets_in().await {
        panic!("{case}: {error}");
    }
}

#[tokio::test]
async fn no_way_to_fail_keeps_an_application_of_this_host_out() {
    let Some(server) = MariaDb::start_with(&SETTINGS).await else { return };
    let road = Detour::to(&server).await;
    server.execute("INSTALL SONAME 'auth_pam_v1'").await;
    server.execute("CREATE USER pam@'%' IDENTIFIED VIA pam").await;
    server.execute("GRANT ALL ON *.* TO 'app'@'%'").await;
    let address = format!("address = '127.0.0.1:{}'", road.port);
    let of = |url: String, more: &str| check("mysql", &format!("url = {url:?}\n{more}"));
    let good = || road.url(USER, PASSWORD, "app");
    for (case, check, wanted) in [
        ("a wrong password", of(road.url(USER, "wrong", ""), ""), Some(Reason::AuthFailed)),
        ("a login it does not know", of(road.url("pam", "pw", ""), ""), Some(Reason::AuthFailed)),
        ("no such database", of(road.url(USER, PASSWORD, "no"), ""), Some(Reason::QueryFailed)),
        ("TLS that is not offered", of(good(), "tls = true"), Some(Reason::TlsFailed)),
        ("a failed query", of(good(), "query = 'SELECT no'"), Some(Reason::QueryFailed)),
        ("a good run", of(good(), ""), None),
        ("a port that is open", check("tcp", &address), None),
        ("its greeting", check("tcp", &format!("{address}\nexpect.regex = 'MariaDB'")), None),
        ("TLS on its port", check("tls", &address), Some(Reason::TlsFailed)),
    ] {
        fails_without_harm(&server, &road, check, wanted, case).await;
    }

    // What a check must not do.
    forgive(&server).await;
    let before = server.status(ABORTED).await;
    for _ in 0..RUNS {
        drop(TcpStream::connect(("127.0.0.1", road.port)).await.expect("to connect"));
    }
    aborted(&server, before).await;
    road.lets_in().await.expect_err("the host is refused");
    let refused = failure(&*of(good(), ""), PLENTY).await;
    assert_eq!(refused.reason(), Reason::Overloaded, "{}", refused.message());
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_counts_for_nothing() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (cert, key) = ours.server_files("127.0.0.1");
    let settings = [format!("ssl-cert={cert}"), format!("ssl-key={key}")];
    let settings: Vec<&str> = SETTINGS.into_iter().chain(settings.iter().map(|s| &**s)).collect();
    let Some(server) = MariaDb::start_with(&settings).await else { return };
    let road = Detour::to(&server).await;
    let url = road.url(USER, PASSWORD, "app");
    let of = |tls: &str| check("mysql", &format!("url = {url:?}\n{tls}"));
    let trusting = |authority: &Authority| format!("tls.ca = '{}'", authority.ca().display());
    let wrong_name = format!("{}\ntls.server_name = 'other.example'", trusting(&ours));
    for (case, tls, wanted) in [
        ("a stranger's", trusting(&other), Some(Reason::TlsUntrusted)),
        ("for another name", wrong_name, Some(Reason::TlsNameMismatch)),
        ("ours", trusting(&ours), None),
        ("any", "tls.insecure = true".to_owned(), None),
    ] {
        fails_without_harm(&server, &road, of(&tls), wanted, case).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_counts_no_run_against_this_host_when_it_goes_on() {
    let Some(server) = MariaDb::start_with(&SETTINGS).await else { return };
    let road = Detour::to(&server).await;
    let check = check("mysql", &format!("url = {:?}", road.url(USER, PASSWORD, "app")));
    // It has looked up the client's name, which it remembers.
    road.lets_in().await.expect("an application");
    let before = server.status(ABORTED).await;
    server.freeze();
    for _ in 0..RUNS {
        assert_eq!(failure(&*check, SHORT).await.reason(), Reason::Timeout);
    }
    server.thaw();
    aborted(&server, before).await;
    road.lets_in().await.expect("the host is not refused");
}
