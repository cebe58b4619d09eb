//! The `http` kind: one request, and what is expected of its answer.
//!
//! It speaks HTTP/1.1 by hyper directly, so that every phase shows and a run costs little. The
//! connection is driven by the run itself: dropping the run closes it.

mod expect;
mod options;
mod redirect;

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::KindOptions;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::http1::{self, Connection};
use crate::net::{self, Target, TlsClient, body};

use expect::Expect;
pub(crate) use options::HttpOptions;
use redirect::Hop;

/// A check of one URL, made of its options.
struct Http {
    target: Target,
    method: Method,
    /// What is sent along with every request to the target itself.
    headers: HeaderMap,
    body: Option<Bytes>,
    expect: Expect,
    follow: bool,
    max_body: u64,
    tls: Option<TlsClient>,
    /// TLS towards other hosts, where redirects are followed.
    tls_elsewhere: Option<TlsClient>,
    /// Where `reuse` keeps the connection between runs.
    kept: Option<Mutex<Option<Connection>>>,
}

/// What came of one request.
enum Answer {
    /// It is as expected.
    Good,
    /// It leads elsewhere.
    Redirect(Box<Hop>),
}

#[async_trait]
impl Check for Http {
    fn kind(&self) -> &'static str {
        HttpOptions::NAME
    }

    fn server(&self) -> Option<Server> {
        Some(self.target.endpoint().server())
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut followed: Option<Box<Hop>> = None;
        loop {
            match self.request(cx, followed.as_deref()).await? {
                Answer::Good => return Ok(Detail::ok()),
                Answer::Redirect(hop) => followed = Some(hop.counted()?),
            }
        }
    }
}

impl Http {
    /// One request and its answer, in a CLIENT span of their own.
    async fn request(&self, cx: &Context, hop: Option<&Hop>) -> Result<Answer, Failure> {
        let (target, method) = hop.map_or((&self.target, &self.method), |h| (&h.target, &h.method));
        let mut attributes = target.attributes();
        let name = span_method(method, &mut attributes);
        if let Some(hop) = hop {
            attributes.push(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, hop.count()));
        }
        // On the heap: wrapped by value, each layer around it would hold it once more.
        cx.client(name, attributes, Box::pin(self.exchange(cx, hop))).await
    }

    async fn exchange(&self, cx: &Context, hop: Option<&Hop>) -> Result<Answer, Failure> {
        let target = hop.map_or(&self.target, |hop| &hop.target);
        let request = self.compose(cx, hop);
        let (mut connection, response) = self.send(cx, target, request).await?;
        let (head, incoming) = response.into_parts();
        http1::note(cx, &head);
        if self.follow
            && let Some(next) = redirect::next(self, hop, &head)?
        {
            return Ok(Answer::Redirect(Box::new(next)));
        }
        self.expect.head(target.endpoint(), &head)?;
        let reading = body::read(&head, incoming, self.max_body, self.expect.wants_body());
        let body = cx
            .phase(Phase::Transfer, connection.drive(Box::pin(reading)))
            .await
            .map_err(|error| error.failure(target.endpoint(), " of max_body"))?;
        self.expect.body(target.endpoint(), &body)?;
        self.keep(target, connection);
        Ok(Answer::Good)
    }

    /// The request for `hop`, or the configured one.
    fn compose(&self, cx: &Context, hop: Option<&Hop>) -> Request<Full<Bytes>> {
        let mut sent = net::Carrier(HeaderMap::with_capacity(8 + self.headers.len()));
        let target = hop.map_or(&self.target, |hop| &hop.target);
        sent.0.insert(header::HOST, target.host().clone());
        sent.0.insert(header::USER_AGENT, http1::USER_AGENT);
        sent.0.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        cx.inject(&mut sent);
        // The configured ones come last: they win.
        for (name, value) in &self.headers {
            if hop.is_none_or(|hop| hop.sends(name)) {
                sent.0.insert(name, value.clone());
            }
        }
        if self.kept.is_none() {
            sent.0.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let with_body = hop.is_none_or(|hop| hop.with_body);
        let body = self.body.as_ref().filter(|_| with_body).cloned().unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hop.map_or(&self.method, |hop| &hop.method).clone();
        *request.uri_mut() = target.uri().clone();
        *request.headers_mut() = sent.0;
        request
    }

    /// Sends `request` over the kept connection, where there is one that still lives, or else
    /// over a new one.
    async fn send(
        &self,
        cx: &Context,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(Connection, hyper::Response<hyper::body::Incoming>), Failure> {
        let failed = |error: hyper::Error| http1::failure(target.endpoint(), &error);
        if let Some(mut connection) = self.take(target)
            && connection.is_alive().await
        {
            // The peer may still close it while the request is on its way: that is no answer, and
            // a method that may be repeated is sent anew.
            let repeatable = request.method().is_idempotent();
            let sent = cx.phase(Phase::Request, connection.send(request.clone())).await;
            let stale = sent.as_ref().is_err_and(|e| repeatable && http1::is_stale(e));
            if !stale {
                connection.note_peer(cx);
                return sent.map(|response| (connection, response)).map_err(failed);
            }
        }
        let tls = target.is_secure().then(|| self.tls_for(target)).transpose()?;
        let stream = net::open(cx, target.endpoint(), tls).await?;
        let mut connection = Connection::new(stream).await.map_err(failed)?;
        let response = cx.phase(Phase::Request, connection.send(request)).await.map_err(failed)?;
        Ok((connection, response))
    }

    fn tls_for(&self, target: &Target) -> Result<&TlsClient, Failure> {
        let here = target.same_origin(&self.target);
        let client = if here { &self.tls } else { &self.tls_elsewhere };
        client.as_ref().ok_or_else(|| {
            let text = format!("no TLS towards {}: no authorities to trust", target.endpoint());
            Failure::new(Reason::TlsUntrusted, text)
        })
    }

    fn take(&self, target: &Target) -> Option<Connection> {
        // Whatever is kept belongs to this origin; a request to another must not hold two.
        let kept = self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|_| target.same_origin(&self.target))
    }

    fn keep(&self, target: &Target, connection: Connection) {
        if let Some(kept) = &self.kept
            && target.same_origin(&self.target)
        {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
    }
}

/// The span's name and method attributes: methods outside of the conventions' list are `_OTHER`
/// there, and such a span is called `HTTP`.
fn span_method(method: &Method, attributes: &mut Vec<KeyValue>) -> &'static str {
    let known = match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        "QUERY" => "QUERY",
        other => {
            attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, "_OTHER"));
            let original = semconv::HTTP_REQUEST_METHOD_ORIGINAL;
            attributes.push(KeyValue::new(original, other.to_owned()));
            return "HTTP";
        }
    };
    attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, known));
    known
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::engine::check::Check;

    /// What a run holds while it waits, times the thousands that may wait at once.
    #[tokio::test]
    async fn a_run_takes_little_memory() {
        let options: HttpOptions = toml::from_str("url = 'http://127.0.0.1:1/'").unwrap();
        let check = options.make().unwrap();
        let cx = Context::new(Instant::now() + Duration::from_secs(1), None);
        let run = check.run(&cx);
        let exchange = check.exchange(&cx, None);
        let (run, exchange) = (size_of_val(&*run), size_of_val(&exchange));
        assert!(run + exchange < 4096, "{run} and {exchange} bytes");
    }
}
