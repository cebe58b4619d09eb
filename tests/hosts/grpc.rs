//! The gRPC health service, asked by tonic's client, by Python's and by the `grpc` kind.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use vitalsign::testing::{Scripted, Step, eventually, eventually_service, scripted};
use vitalsign::{Builder, Declared, Detail, Health, Reason, ServiceStatus, Status, every};

use crate::support::checks::{PATIENT, ask, check};
use crate::support::python::interpreter;

const SERVING: Result<ServingStatus, Code> = Ok(ServingStatus::Serving);
const NOT_SERVING: Result<ServingStatus, Code> = Ok(ServingStatus::NotServing);

/// Declares `check`, which decides by one run.
fn quick(check: &Scripted) -> Declared {
    every(Duration::from_millis(40)).failure_threshold(1).check(check.clone())
}

/// A gRPC server with the health service, and what it tells.
struct Served {
    health: Health,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<()>,
}

impl Served {
    async fn start(builder: Builder) -> Self {
        let health = builder.build().expect("a valid plan");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopping) = oneshot::channel();
        let service = health.grpc_service().serves("orders.v1.Orders").serves("orders");
        let server = Server::builder().add_service(service).serve_with_incoming_shutdown(
            TcpIncoming::from(listener),
            async {
                drop(stopping.await);
            },
        );
        let stopped = tokio::spawn(async { server.await.expect("it serves") });
        Self { health, address, stop, stopped }
    }

    async fn client(&self) -> HealthClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL");
        HealthClient::new(endpoint.connect().await.expect("to connect"))
    }

    /// What `Check` says of `name`.
    async fn check(&self, name: &str) -> Result<ServingStatus, Code> {
        let answer = self.client().await.check(request(name)).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
    }

    async fn watch(&self, name: &str) -> Statuses {
        Statuses(self.client().await.watch(request(name)).await.expect("a stream").into_inner())
    }
}

fn request(name: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: name.to_owned() }
}

/// What a watch tells.
struct Statuses(Streaming<HealthCheckResponse>);

impl Statuses {
    async fn next(&mut self) -> Result<ServingStatus, Code> {
        let next = timeout(PATIENT, self.0.message()).await.expect("it is told before long");
        let next = next.map_err(|status| status.code())?;
        Ok(next.expect("it ends with a status").status())
    }

    /// Reads until it says this, past what comes before.
    async fn until(&mut self, wanted: ServingStatus) {
        while self.next().await.expect("it goes on") != wanted {}
    }
}

/// A service with one check, ready.
async fn ready() -> (Scripted, Served) {
    let database = scripted([]);
    let served = Served::start(Health::builder("orders").check("database", quick(&database))).await;
    eventually_service(&served.health, ServiceStatus::Up).await;
    (database, served)
}

#[tokio::test]
async fn the_service_and_each_check_have_a_status_of_their_own() {
    let [database, cache, vpn] =
        [Step::Ok, Step::Fail(Reason::Other), Step::Hang].map(|step| scripted([step]));
    let informative = || every(Duration::from_mins(1)).failure_threshold(1).gates([]);
    let builder = Health::builder("orders")
        .check("database", quick(&database))
        .check("cache", informative().check(cache))
        .check("vpn", informative().timeout(Duration::from_secs(59)).check(vpn));
    let served = Served::start(builder).await;
    eventually(&served.health, "database", Status::Up).await;
    eventually(&served.health, "cache", Status::Down).await;
    for (name, wanted) in [
        ("", SERVING),
        ("orders.v1.Orders", SERVING),
        ("database", SERVING),
        ("cache", NOT_SERVING),
        ("vpn", Ok(ServingStatus::Unknown)),
        ("ready", Err(Code::NotFound)),
        ("Database", Err(Code::NotFound)),
        // Longer than any name, and than what is read.
        (&*"x".repeat(20_000), Err(Code::OutOfRange)),
    ] {
        assert_eq!(served.check(name).await, wanted, "`{name:.40}`");
    }
    database.now(Step::Warn("it is slow".to_owned()));
    eventually(&served.health, "database", Status::Degraded).await;
    assert_eq!(served.check("database").await, SERVING);
    database.now(Step::Fail(Reason::Other));
    eventually(&served.health, "database", Status::Down).await;
    for name in ["", "orders.v1.Orders", "database"] {
        assert_eq!(served.check(name).await, NOT_SERVING, "`{name}`");
    }
}

#[tokio::test]
async fn a_service_that_starts_does_not_serve_yet() {
    let builder = Health::builder("orders").check("database", quick(&scripted([Step::Hang])));
    let served = Served::start(builder).await;
    let mut whole = served.watch("").await;
    assert_eq!(whole.next().await, NOT_SERVING);
}

#[tokio::test]
async fn a_watch_tells_the_current_status_and_each_change() {
    let (database, served) = ready().await;
    let mut watches = [served.watch("").await, served.watch("database").await];
    for watch in &mut watches {
        assert_eq!(watch.next().await, SERVING);
    }
    for (step, wanted) in [
        (Step::Fail(Reason::Other), NOT_SERVING),
        (Step::Ok, SERVING),
        (Step::Fail(Reason::Other), NOT_SERVING),
    ] {
        database.now(step);
        for watch in &mut watches {
            assert_eq!(watch.next().await, wanted);
        }
    }
}

#[tokio::test]
async fn a_watch_of_an_unknown_name_goes_on_until_it_is_known() {
    let (database, served) = ready().await;
    let mut watch = served.watch("cache").await;
    assert_eq!(watch.next().await, Ok(ServingStatus::ServiceUnknown));
    let checks = ["database", "cache"].map(|name| (name.to_owned(), quick(&database)));
    served.health.set_checks(checks.into()).expect("a valid plan");
    watch.until(ServingStatus::Serving).await;
    let checks = vec![("database".to_owned(), quick(&database))];
    served.health.set_checks(checks).expect("a valid plan");
    assert_eq!(watch.next().await, Ok(ServingStatus::ServiceUnknown));
}

#[tokio::test]
async fn a_check_runtime_that_stands_still_is_told_to_watches() {
    let checks_on = tokio::runtime::Builder::new_multi_thread();
    let checks_on = { checks_on }.worker_threads(1).enable_all().build().expect("a runtime");
    let builder = Health::builder("orders")
        .check("database", quick(&scripted([])))
        .liveness_timeout(Duration::from_secs(1))
        .check_runtime(checks_on.handle().clone());
    let served = Served::start(builder).await;
    let mut watches = [served.watch("").await, served.watch("database").await];
    for watch in &mut watches {
        watch.until(ServingStatus::Serving).await;
    }
    checks_on.shutdown_background();
    watches[1].until(ServingStatus::Unknown).await;
    watches[0].until(ServingStatus::NotServing).await;
}

#[tokio::test]
async fn a_drain_ends_service_and_closed_streams_end_watches_so_that_the_server_stops() {
    let (_database, served) = ready().await;
    let mut whole = served.watch("").await;
    let mut one = served.watch("database").await;
    assert_eq!((whole.next().await, one.next().await), (SERVING, SERVING));
    served.health.drain();
    assert_eq!(whole.next().await, NOT_SERVING);
    assert_eq!(served.check("").await, NOT_SERVING);
    assert_eq!(served.check("database").await, SERVING, "it is the check that is asked for");
    served.health.close_streams();
    for watch in [&mut whole, &mut one] {
        assert_eq!(watch.next().await, Err(Code::Unavailable));
    }
    let mut late = served.watch("").await;
    assert_eq!(late.next().await, NOT_SERVING);
    assert_eq!(late.next().await, Err(Code::Unavailable));
    served.stop.send(()).expect("it runs");
    timeout(PATIENT, served.stopped).await.expect("it stops before long").expect("it stops");
}

#[tokio::test]
async fn a_name_that_is_served_hides_the_check_of_that_name() {
    let [database, orders] = [Step::Ok, Step::Fail(Reason::Other)].map(|step| scripted([step]));
    let informative = every(Duration::from_mins(1)).failure_threshold(1).gates([]).check(orders);
    let builder = Health::builder("orders").check("database", quick(&database));
    let served = Served::start(builder.check("orders", informative)).await;
    eventually(&served.health, "database", Status::Up).await;
    eventually(&served.health, "orders", Status::Down).await;
    assert_eq!(served.check("orders").await, SERVING);
}

#[tokio::test]
async fn the_grpc_kind_understands_it() {
    let (database, served) = ready().await;
    let ask_for = async |service: &str| {
        let options = format!("address = '{}'\nservice = '{service}'", served.address);
        ask(&*check("grpc", &options), PATIENT).await.map_err(|failure| failure.reason())
    };
    assert_eq!(ask_for("").await, Ok(Detail::ok()));
    assert_eq!(ask_for("database").await, Ok(Detail::ok()));
    assert_eq!(ask_for("nowhere").await, Err(Reason::NotServing));
    database.now(Step::Fail(Reason::Other));
    eventually(&served.health, "database", Status::Down).await;
    assert_eq!(ask_for("").await, Err(Reason::NotServing));
}

/// A client that somebody else wrote, while it runs.
struct Python {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Python {
    /// None, with a notice, where it is not installed.
    fn start(port: u16, arguments: &[&str]) -> Option<Self> {
        let python = interpreter("grpcio-health-checking")?;
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/grpc_client.py"))
            .arg(port.to_string())
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("to start Python");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Some(Self { _child: child, lines })
    }

    async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENT, self.lines.next_line()).await;
        line.expect("it says something before long").expect("text")
    }

    async fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }
}

#[tokio::test]
async fn a_client_that_somebody_else_wrote_understands_it() {
    let (database, served) = ready().await;
    let port = served.address.port();
    let Some(listed) = Python::start(port, &["list"]) else { return };
    let all = ["=SERVING", "database=SERVING", "orders=SERVING", "orders.v1.Orders=SERVING"];
    assert_eq!(listed.rest().await, all);
    for (name, wanted) in [("", "SERVING"), ("database", "SERVING"), ("nowhere", "NOT_FOUND")] {
        let asked = Python::start(port, &["check", name]).expect("it is installed");
        assert_eq!(asked.rest().await, [wanted], "`{name}`");
    }
    let mut watch = Python::start(port, &["watch", "database"]).expect("it is installed");
    assert_eq!(watch.line().await.as_deref(), Some("SERVING"));
    database.now(Step::Fail(Reason::Other));
    assert_eq!(watch.line().await.as_deref(), Some("NOT_SERVING"));
    served.health.close_streams();
    assert_eq!(watch.rest().await, ["UNAVAILABLE"]);
}
