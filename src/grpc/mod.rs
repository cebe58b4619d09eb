//! The gRPC health service, `grpc.health.v1.Health`, over the same state as the probes.
//!
//! Input: names of services. Output: their statuses: of one (`Check`), of all (`List`), or of one
//! with every later change (`Watch`). Kubernetes' `grpc` probes, gRPC's own client-side health
//! checking and this crate's `grpc` kind ask it.
//!
//! | name | its status |
//! | --- | --- |
//! | `""`, the server as a whole | `SERVING` while `/ready` is 200, `NOT_SERVING` otherwise: while it starts and drains too |
//! | one added with [`GrpcHealth::serves`] | the same |
//! | a group's | what `/ready/group/{group}` says: `SERVING` while it is up or degraded, `NOT_SERVING` otherwise |
//! | a check's | what `/ready/{check}` says: `SERVING` while it is up or degraded, `NOT_SERVING` while down, `UNKNOWN` while unknown |
//! | any other | `Check` fails with `NOT_FOUND`; `Watch` says `SERVICE_UNKNOWN`, and goes on |
//!
//! ```no_run
//! use std::time::Duration;
//! use vitalsign::{Health, every};
//!
//! # async fn ping() -> std::io::Result<()> { Ok(()) }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder("orders")
//!     .check("cache", every(Duration::from_secs(5)).from_fn(ping))
//!     .build()?;
//! tonic::transport::Server::builder()
//!     .add_service(health.grpc_service().serves("orders.v1.Orders"))
//!     .serve("127.0.0.1:50051".parse()?)
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! It never runs a check: a call reads what is known, in a time that does not grow with how many
//! ask. It shows names and statuses alone, no reasons, so it needs no token.

mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::codegen::{Body, BoxFuture, Context, Poll, Service, StdError, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::engine::state::HealthState;
use crate::health::Health;
use crate::model;
use crate::model::grpc_health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, SERVICE,
    ServingStatus,
};
use watch::{Statuses, Watcher};

/// Watches that may be open at once.
const MAX_WATCHES: usize = 1_024;

/// Names that a list holds at most: it stays well below the 4 MiB that clients read by default.
const MAX_LISTED: usize = 20_000;

/// Longest request that is read: a name has at most 63 characters, or as many as its host gave it.
const MAX_REQUEST: usize = 16 * 1024;

/// The gRPC health service; made by [`Health::grpc_service`].
///
/// Cloning is cheap and shares it.
#[derive(Clone)]
pub struct GrpcHealth {
    health: Health,
    known: Known,
    watches: Arc<Semaphore>,
}

impl fmt::Debug for GrpcHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcHealth").field("serves", &self.known.served).finish_non_exhaustive()
    }
}

impl Health {
    /// The gRPC health service over this health, to be added to a tonic server; see
    /// [`grpc`](crate::grpc) for the names it knows.
    ///
    /// Watches have no end of their own: a server that shuts down gracefully calls
    /// [`close_streams`](Self::close_streams) for their sake too. At most 1,024 are open at once;
    /// the next is refused with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn grpc_service(&self) -> GrpcHealth {
        let served = Arc::new(BTreeSet::from([String::new()]));
        GrpcHealth {
            health: self.clone(),
            known: Known { state: Arc::clone(self.state()), served },
            watches: Arc::new(Semaphore::new(MAX_WATCHES)),
        }
    }
}

impl GrpcHealth {
    /// Makes `name` stand for the service's readiness, as the empty name does; it hides a check or
    /// a group of the same name.
    ///
    /// Clients of gRPC that check health by themselves ask by the name in their
    /// `healthCheckConfig`, as a rule that of the service they call.
    #[must_use]
    pub fn serves(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.known.served).insert(name.into());
        self
    }

    fn check(&self, name: &str) -> Result<HealthCheckResponse, Status> {
        let status = self.known.status(name);
        // The name is not repeated: it is whatever the client likes.
        status
            .map(HealthCheckResponse::of)
            .ok_or_else(|| Status::not_found("there is no such service"))
    }

    fn list(&self) -> Result<HealthListResponse, Status> {
        let statuses = self.known.all();
        if statuses.len() > MAX_LISTED {
            return Err(Status::resource_exhausted("there are too many services to list"));
        }
        Ok(HealthListResponse { statuses })
    }

    fn watch(&self, name: String) -> Result<Statuses, Status> {
        let permit = Arc::clone(&self.watches).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many watches are open"))?;
        let feed = self.health.feed();
        let watcher = Watcher {
            // The mark is taken before the first look at the status, so that no change is missed.
            reader: feed.reader(feed.mark()),
            known: self.known.clone(),
            closed: self.health.streams_closed().clone(),
            name,
            last_sent: None,
            _permit: permit,
        };
        Ok(watcher.into_stream())
    }
}

/// The names, and how to find the status of each.
#[derive(Clone)]
struct Known {
    state: Arc<HealthState>,
    /// The names that stand for readiness.
    served: Arc<BTreeSet<String>>,
}

impl Known {
    fn status(&self, name: &str) -> Option<ServingStatus> {
        if self.served.contains(name) {
            return Some(self.whole());
        }
        let of_group = || self.state.group(name).map(serving_status_of_group);
        self.state.status_of(name).map(serving_status).or_else(of_group)
    }

    fn whole(&self) -> ServingStatus {
        if self.state.ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    fn all(&self) -> BTreeMap<String, HealthCheckResponse> {
        let checks = self.state.statuses().into_iter();
        let mut all: BTreeMap<_, _> =
            checks.map(|(name, s)| (name.to_string(), serving_status(s))).collect();
        let groups = self.state.group_statuses().into_iter();
        all.extend(groups.map(|(name, s)| (name.to_string(), serving_status_of_group(s))));
        let whole = self.whole();
        all.extend(self.served.iter().map(|name| (name.clone(), whole)));
        all.into_iter().map(|(name, status)| (name, HealthCheckResponse::of(status))).collect()
    }
}

/// What the protocol says of a check's status.
fn serving_status(status: model::Status) -> ServingStatus {
    match status {
        model::Status::Up | model::Status::Degraded => ServingStatus::Serving,
        model::Status::Down => ServingStatus::NotServing,
        model::Status::Unknown => ServingStatus::Unknown,
    }
}

/// What the protocol says of the status of a group.
fn serving_status_of_group(status: model::ServiceStatus) -> ServingStatus {
    if status.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

impl NamedService for GrpcHealth {
    const NAME: &'static str = SERVICE;
}

impl<B> Service<http::Request<B>> for GrpcHealth
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let path = request.uri().path().strip_prefix('/');
            let method = path.and_then(|path| path.strip_prefix(SERVICE)).unwrap_or_default();
            Ok(match method {
                "/Check" => bounded().unary(Check(service), request).await,
                "/List" => bounded().unary(List(service), request).await,
                "/Watch" => bounded().server_streaming(Watch(service), request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// What reads a request and writes its answer.
fn bounded<Sent, Read>() -> Grpc<ProstCodec<Sent, Read>>
where
    Sent: prost::Message + 'static,
    Read: prost::Message + Default + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_REQUEST)
}

struct Check(GrpcHealth);

impl UnaryService<HealthCheckRequest> for Check {
    type Response = HealthCheckResponse;
    type Future = std::future::Ready<Result<Response<HealthCheckResponse>, Status>>;

    fn call(&mut self, request: Request<HealthCheckRequest>) -> Self::Future {
        std::future::ready(self.0.check(&request.get_ref().service).map(Response::new))
    }
}

struct List(GrpcHealth);

impl UnaryService<HealthListRequest> for List {
    type Response = HealthListResponse;
    type Future = std::future::Ready<Result<Response<HealthListResponse>, Status>>;

    fn call(&mut self, _: Request<HealthListRequest>) -> Self::Future {
        std::future::ready(self.0.list().map(Response::new))
    }
}

struct Watch(GrpcHealth);

impl ServerStreamingService<HealthCheckRequest> for Watch {
    type Response = HealthCheckResponse;
    type ResponseStream = Statuses;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<HealthCheckRequest>) -> Self::Future {
        let stream = self.0.watch(request.into_inner().service);
        std::future::ready(stream.map(Response::new))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tonic::Code;

    use super::*;
    use crate::engine::check::{every, secs};

    #[tokio::test]
    async fn watches_are_bounded_and_one_that_ends_makes_room() {
        let service = Health::builder("orders").build().expect("no checks").grpc_service();
        let mut open: Vec<_> =
            (0..MAX_WATCHES).map(|_| service.watch(String::new()).expect("a permit")).collect();
        // Of whatever clone: a server clones the service for each connection.
        let refused = service.clone().watch(String::new()).err().expect("there is no permit");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        drop(open.pop());
        let mut again = service.watch(String::new()).expect("a permit");
        assert_eq!(
            again.next().await.expect("a status").expect("it is sent"),
            HealthCheckResponse::of(ServingStatus::Serving)
        );
    }

    #[tokio::test]
    async fn a_list_that_clients_would_not_read_is_refused() {
        let service = Health::builder("orders").build().expect("no checks").grpc_service();
        let name = |n: usize| format!("orders.v1.Orders{n}");
        let most = (1..MAX_LISTED).fold(service, |service, n| service.serves(name(n)));
        let listed = |service: &GrpcHealth| {
            service.list().map(|list| list.statuses.len()).map_err(|status| status.code())
        };
        assert_eq!(listed(&most), Ok(MAX_LISTED));
        assert_eq!(listed(&most.serves(name(0))), Err(Code::ResourceExhausted));
    }

    #[tokio::test]
    async fn a_group_is_listed_beside_the_checks() {
        let ok = || async { Ok::<_, std::io::Error>(()) };
        let check = every(secs(5)).groups(["payments"]).from_fn(ok);
        let health = Health::builder("orders").check("bank", check).build().expect("a check");
        let list = health.grpc_service().list().expect("it is short").statuses;
        let names: Vec<&str> = list.keys().map(String::as_str).collect();
        assert_eq!(names, ["", "bank", "payments"]);
        assert_eq!(list["payments"], HealthCheckResponse::of(ServingStatus::NotServing));
    }

    #[tokio::test]
    async fn a_watch_does_not_keep_the_checks_running() {
        let service = Health::builder("orders").build().expect("no checks").grpc_service();
        let mut watch = service.watch(String::new()).expect("a permit");
        assert!(watch.next().await.expect("a status").is_ok());
        drop(service);
        let ended = watch.next().await.expect("a status").expect_err("it ends");
        assert_eq!(ended.code(), Code::Unavailable);
        assert!(watch.next().await.is_none());
    }
}
