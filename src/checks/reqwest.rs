//! A check by an application's own HTTP client.

use std::error::Error;
use std::io;

use ::reqwest::{Client, Response, Url};
use async_trait::async_trait;
use hyper::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::engine::Carrier;
use crate::engine::check::{
    Check, Context, Detail, Failure, brief, reason_of_tls_text, unexpected_status,
};
use crate::model::{Phase, Reason, Server};

/// Bytes of a body that are read, so that the client may use the connection again; one that is
/// longer is cut off, which does not fail the run.
const MOST: usize = 256 * 1024;

/// A check by the application's own HTTP client: asks for `url`, and fails unless the status is
/// 2xx.
///
/// The request is what the client makes of it, with its headers, proxies, pool and redirects; the
/// trace context is added. A client's own timeout that comes before the check's gives
/// [`Reason::Timeout`] too. User name, password and query of the URL are sent, and shown nowhere.
///
/// ```
/// # fn run(client: reqwest::Client) -> Result<(), url::ParseError> {
/// let check = vitalsign::checks::reqwest::get(client.clone(), "https://rates/health".parse()?);
/// # let _ = check;
/// # Ok(()) }
/// ```
#[must_use]
pub fn get(client: Client, url: Url) -> impl Check {
    Get { client, url }
}

struct Get {
    client: Client,
    url: Url,
}

#[async_trait]
impl Check for Get {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn server(&self) -> Option<Server> {
        let address = self.url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Server { address, port: self.url.port_or_known_default() })
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut attributes = vec![
            KeyValue::new(semconv::HTTP_REQUEST_METHOD, "GET"),
            KeyValue::new(semconv::URL_FULL, shown(&self.url)),
        ];
        if let Some(Server { address, port }) = self.server() {
            attributes.push(KeyValue::new(semconv::SERVER_ADDRESS, address));
            attributes.extend(port.map(|p| KeyValue::new(semconv::SERVER_PORT, i64::from(p))));
        }
        cx.client("GET", attributes, Box::pin(self.ask(cx))).await
    }
}

impl Get {
    async fn ask(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut sent = Carrier(HeaderMap::new());
        cx.inject(&mut sent);
        let sending = self.client.get(self.url.clone()).headers(sent.0).send();
        let response = cx.phase(Phase::Request, sending).await.map_err(|e| self.failed(e))?;
        let status = response.status();
        cx.attribute(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
        if !status.is_success() {
            return Err(unexpected_status(self.place(), status, "2xx"));
        }
        let reading = drain(response);
        cx.phase(Phase::Transfer, reading).await.map_err(|e| self.failed(e))?;
        Ok(Detail::ok())
    }

    /// The failure that an error of the client stands for.
    fn failed(&self, error: ::reqwest::Error) -> Failure {
        // The URL that its text would repeat holds what is secret.
        let error = error.without_url();
        let reason = reason(&error);
        let text = Failure::from(error);
        Failure::new(reason, brief(format_args!("{}: {}", self.place(), text.message())))
    }

    /// Host and port for people.
    fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port_or_known_default().map_or(host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// The URL without credentials, query and fragment.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both are only refused to URLs without a host, which have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// Reads the body as far as the bound.
///
/// An answer that breaks off is a failure. A body that the client cannot decode is none: only the
/// status is asked for.
async fn drain(mut response: Response) -> Result<(), ::reqwest::Error> {
    let mut left = MOST;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(()),
            Err(error) if is_of_the_encoding(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return Ok(());
        }
    }
}

/// Whether a body was read whose encoding is broken. The client calls every error of a body one of
/// decoding; one of the connection has an error of hyper beneath it.
fn is_of_the_encoding(error: &::reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<hyper::Error>() {
            return false;
        }
        cause = inner.source();
    }
    error.is_decode() && !error.is_timeout()
}

/// The reason that an error of the client stands for.
pub(crate) fn reason(error: &::reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::Timeout;
    }
    if error.is_redirect() {
        return Reason::TooManyRedirects;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return reason_of_tls(error).unwrap_or_else(|| Reason::of_io(error));
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.source().is_none()
        {
            let early = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
            return if early { Reason::ConnectionReset } else { Reason::Protocol };
        }
        cause = error.source();
    }
    Reason::Other
}

/// The reason of an error of TLS that `error` wraps.
fn reason_of_tls(error: &io::Error) -> Option<Reason> {
    #[cfg(feature = "tls")]
    if let Some(reason) = crate::net::wrapped_reason_of_tls(error) {
        return Some(reason);
    }
    reason_of_tls_text(&error.to_string())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task;

    use ::reqwest::Body;
    use bytes::Bytes;
    use hyper::body::Frame;

    use super::*;

    /// A body of four bytes and then an error, as a client's decoder makes one of an encoding that
    /// is broken or has something behind its end.
    struct Broken(Option<Box<dyn Error + Send + Sync>>, bool);

    impl hyper::body::Body for Broken {
        type Data = Bytes;
        type Error = Box<dyn Error + Send + Sync>;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
        ) -> task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let begun = std::mem::replace(&mut self.1, true);
            let frame = if begun {
                self.0.take().map(Err)
            } else {
                Some(Ok(Frame::data(Bytes::from_static(b"fine"))))
            };
            task::Poll::Ready(frame)
        }
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_decoded_decides_nothing() {
        for error in [
            io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream").into(),
            io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            "there are extra bytes after body has been decompressed".into(),
        ] {
            let body = Body::wrap(Broken(Some(error), false));
            let response = hyper::Response::new(body);
            drain(response.into()).await.expect("the status was good");
        }
    }
}
