//! One gRPC call over one HTTP/2 connection. The run itself drives the connection while it waits.
//!
//! h2 creates its own spans for every frame; they are kept out of the run's trace.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use h2::client::{self, Connection, SendRequest};
use h2::{Reason as Code, RecvStream};
use hyper::Request;
use hyper::header::HeaderMap;
use hyper::http::response;
use tokio::io::BufWriter;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net::{self, Endpoint, Stream};

/// Length of the prefix of a message.
pub(super) const PREFIX: usize = 5;

/// Longest answer that is read; a correct one has 7 bytes. It is below HTTP/2's initial window, so
/// no peer has to wait for a window update.
const MOST: usize = 16 * 1024;

/// Longest list of headers or trailers; they may contain a message for people.
const LONGEST_HEAD: u32 = 16 * 1024;

/// The first frames of this side fit into it, so they are sent together.
const BUFFER: usize = 1024;

/// The length that the prefix of a message announces, as far as `bytes` hold it.
pub(super) fn announced(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..PREFIX)?.try_into().map(u32::from_be_bytes).ok()?;
    usize::try_from(length).ok()
}

/// The body of an answer and what came after it.
#[derive(Default)]
pub(super) struct Body {
    /// The message with its prefix.
    pub(super) message: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

type Driver = Connection<BufWriter<Stream>, Bytes>;

/// A connection without a task: it makes progress while a step of the run is awaited, and ends when
/// it is dropped.
pub(super) struct Call {
    sender: SendRequest<Bytes>,
    driver: Option<Pin<Box<Driver>>>,
    body: Option<RecvStream>,
}

impl Call {
    /// Prepares `stream` for a call.
    pub(super) async fn new(stream: Stream) -> Result<Self, h2::Error> {
        let (sender, driver) = client::Builder::new()
            .enable_push(false)
            .max_header_list_size(LONGEST_HEAD)
            .handshake(BufWriter::with_capacity(BUFFER, stream))
            .with_subscriber(Dispatch::none())
            .await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), body: None })
    }

    /// Sends `request` with `message` and awaits the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<()>,
        message: Bytes,
    ) -> Result<response::Parts, h2::Error> {
        let Self { sender, driver, body } = self;
        drive(driver, async {
            let mut sender = sender.clone().ready().await?;
            let (response, mut sent) = sender.send_request(request, false)?;
            sent.send_data(message, true)?;
            let (head, rest) = response.await?.into_parts();
            *body = Some(rest);
            Ok(head)
        })
        .await
    }

    /// Reads the rest of the answer of `endpoint`.
    pub(super) async fn read(&mut self, endpoint: &Endpoint) -> Result<Body, Failure> {
        let failed = |error: h2::Error| failure(endpoint, &error);
        let Self { driver, body, .. } = self;
        drive(driver, async {
            let mut message = BytesMut::new();
            let Some(body) = body else { return Ok(Body::default()) };
            while let Some(data) = body.data().await {
                message.extend_from_slice(&data.map_err(failed)?);
                let length = announced(&message).unwrap_or(0);
                if length.max(message.len()) > MOST {
                    return Err(too_large(endpoint));
                }
            }
            let trailers = body.trailers().await.map_err(failed)?;
            Ok(Body { message: message.freeze(), trailers })
        })
        .await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        tracing::dispatcher::with_default(&Dispatch::none(), || {
            self.body = None;
            self.driver = None;
        });
    }
}

async fn drive<F: Future>(driver: &mut Option<Pin<Box<Driver>>>, step: F) -> F::Output {
    let mut step = std::pin::pin!(step);
    poll_fn(|cx| {
        // The step is polled first, so that everything it sends leaves together, before any answer
        // is read.
        if let Poll::Ready(output) = step.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        if let Some(connection) = driver
            && connection.as_mut().poll(cx).is_ready()
        {
            // An error of the connection also reaches the step.
            *driver = None;
        }
        step.as_mut().poll(cx)
    })
    .with_subscriber(Dispatch::none())
    .await
}

fn too_large(endpoint: &Endpoint) -> Failure {
    Failure::new(Reason::TooLarge, format!("{endpoint} answered with more than 16 KiB"))
}

/// Maps `error` of a call to `endpoint` to a failure, by "HTTP2 Transport Mapping" in gRPC's
/// description of its protocol.
pub(super) fn failure(endpoint: &Endpoint, error: &h2::Error) -> Failure {
    if let Some(error) = error.get_io() {
        return net::failure(format_args!("the call to {endpoint}"), error);
    }
    let (reason, what) = match error.reason() {
        Some(Code::REFUSED_STREAM | Code::NO_ERROR) if error.is_remote() => {
            (Reason::NotServing, "turned the call away")
        }
        Some(Code::ENHANCE_YOUR_CALM) if error.is_remote() => {
            (Reason::Overloaded, "takes no more calls")
        }
        // h2's own errors about more data or frames than allowed.
        Some(Code::FLOW_CONTROL_ERROR | Code::ENHANCE_YOUR_CALM) => return too_large(endpoint),
        // The same for headers that are too long or missing.
        Some(Code::PROTOCOL_ERROR) if error.is_library() && error.is_reset() => {
            (Reason::Protocol, "answered with headers that are malformed or exceed 16 KiB")
        }
        _ => (Reason::Protocol, "does not speak HTTP/2"),
    };
    Failure::new(reason, format!("{endpoint} {what}: {}", net::brief(error)))
}
