//! The `vitalsign` kind: the status of a service that another vitalsign reports.

mod document;
mod options;

use async_trait::async_trait;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::KindOptions;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Phase, Reason, Server, ServiceStatus, Status};
use crate::net::http1::{self, Connection, Outgoing};
use crate::net::{self, Target, TlsClient, body};

use document::Document;
pub(crate) use options::VitalsignOptions;

static UP: Measurement =
    Measurement { name: "remote_checks_up", help: "Checks of the other vitalsign that are up." };
static DEGRADED: Measurement = Measurement {
    name: "remote_checks_degraded",
    help: "Checks of the other vitalsign that are degraded.",
};
static DOWN: Measurement = Measurement {
    name: "remote_checks_down",
    help: "Checks of the other vitalsign that are down.",
};
static UNKNOWN: Measurement = Measurement {
    name: "remote_checks_unknown",
    help: "Checks of the other vitalsign that are unknown.",
};

/// How many checks there are of each status.
const COUNTS: [(Status, &Measurement); 4] = [
    (Status::Up, &UP),
    (Status::Degraded, &DEGRADED),
    (Status::Down, &DOWN),
    (Status::Unknown, &UNKNOWN),
];

/// Longest document read: thousands of checks fit in.
const LONGEST: u64 = 4 << 20;

struct Vitalsign {
    target: Target,
    token: Option<HeaderValue>,
    tls: Option<TlsClient>,
}

#[async_trait]
impl Check for Vitalsign {
    fn kind(&self) -> &'static str {
        VitalsignOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.target.endpoint().server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = self.target.attributes();
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, "GET"));
        cx.client("GET", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Vitalsign {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let endpoint = self.target.endpoint();
        let failed = |error: http1::Error| error.failure(endpoint);
        let request = self.compose(cx);
        let stream = net::open(cx, endpoint, self.tls.as_ref()).await?;
        let mut connection = Connection::new(stream);
        let head = cx.phase(Phase::Request, connection.send(&request)).await.map_err(failed)?;
        http1::note(cx, &head);
        if head.status != StatusCode::OK {
            return Err(net::unexpected_status(endpoint, head.status, "200"));
        }
        let reading = Box::pin(body::read(&mut connection, &head, LONGEST, true));
        let read = cx.phase(Phase::Transfer, reading).await;
        let read = read.map_err(|error| error.failure(endpoint, " of a status document"))?;
        let document = Document::read(&read).ok_or_else(|| {
            let text = format!("the body from {endpoint} is not vitalsign's status document");
            Failure::new(Reason::UnexpectedBody, text).answered()
        })?;
        for (status, measurement) in COUNTS {
            cx.measure(measurement, document.count(status) as f64);
        }
        self.judge(&document)
    }

    fn compose(&self, cx: &Context) -> Outgoing {
        let mut sent = net::Carrier(HeaderMap::with_capacity(8));
        cx.inject(&mut sent);
        sent.0.insert(header::HOST, self.target.host().clone());
        sent.0.insert(header::USER_AGENT, http1::USER_AGENT);
        sent.0.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        sent.0.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some(token) = &self.token {
            sent.0.insert(header::AUTHORIZATION, token.clone());
        }
        let mut request = Request::new(None);
        *request.uri_mut() = self.target.uri().clone();
        *request.headers_mut() = sent.0;
        request
    }

    /// Judges the status of the service. Whatever it is, the call itself succeeded.
    fn judge(&self, document: &Document) -> Result<Detail, Failure> {
        let text = || format!("{} is {}", self.target.endpoint(), document.summary());
        match document.status {
            ServiceStatus::Up => Ok(Detail::ok()),
            ServiceStatus::Degraded => Ok(Detail::warning(text())),
            ServiceStatus::Starting | ServiceStatus::Draining | ServiceStatus::Down => {
                Err(Failure::new(Reason::NotServing, text()).answered())
            }
        }
    }
}
