//! The `http` kind: sends one request and checks the answer.
//!
//! A run sends the configured request, follows redirects if configured, and judges the last answer.
//! The connection belongs to the run: dropping the run closes it, unless `reuse` keeps it for the
//! next run.

mod cookies;
mod expect;
mod options;
mod redirect;

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::response;
use hyper::{Method, Request};
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::config::KindOptions;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::http1::{self, Connection, Outgoing};
use crate::net::{self, Target, TlsClient, body};

use cookies::Jar;
use expect::Expect;
pub(crate) use options::HttpOptions;
use redirect::Hop;

/// A check of one URL, made of its options.
struct Http {
    target: Target,
    method: Method,
    /// Headers of every request to the target itself.
    headers: HeaderMap,
    body: Option<Bytes>,
    expect: Expect,
    follow: bool,
    max_body: u64,
    tls: Option<TlsClient>,
    /// TLS towards other hosts, where redirects are followed.
    tls_elsewhere: Option<TlsClient>,
    /// The connection that `reuse` keeps between runs.
    kept: Option<Mutex<Option<Connection>>>,
}

/// What follows after an answer.
enum Next {
    /// The answer is as expected: the run ends.
    Finish,
    /// The answer is a redirect.
    Follow(Box<Hop>),
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
        let mut jar = Jar::default();
        let mut followed: Option<Box<Hop>> = None;
        loop {
            match self.request(cx, followed.as_deref(), &mut jar).await? {
                Next::Finish => return Ok(Detail::ok()),
                Next::Follow(hop) => followed = Some(hop.counted()?),
            }
        }
    }
}

impl Http {
    /// One request and its answer, in its own CLIENT span.
    async fn request(
        &self,
        cx: &Context,
        hop: Option<&Hop>,
        jar: &mut Jar,
    ) -> Result<Next, Failure> {
        let (target, method) = hop.map_or((&self.target, &self.method), |h| (&h.target, &h.method));
        let mut attributes = target.attributes();
        let name = span_method(method, &mut attributes);
        if let Some(hop) = hop {
            attributes.push(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, hop.count()));
        }
        // Boxed: otherwise each future around it would contain a copy of its size.
        cx.client(name, attributes, Box::pin(self.exchange(cx, hop, jar))).await
    }

    async fn exchange(
        &self,
        cx: &Context,
        hop: Option<&Hop>,
        jar: &mut Jar,
    ) -> Result<Next, Failure> {
        let target = hop.map_or(&self.target, |hop| &hop.target);
        let request = self.compose(cx, hop, jar);
        let (mut connection, head) = self.send(cx, target, &request).await?;
        http1::note(cx, &head);
        if self.follow {
            jar.store(target, &head.headers);
            if let Some(next) = redirect::next(self, hop, &head)? {
                return Ok(Next::Follow(Box::new(next)));
            }
        }
        self.expect.head(target.endpoint(), &head)?;
        let wanted = self.expect.wants_body();
        let reading = body::read(&mut connection, &head, self.max_body, wanted);
        let body = cx
            .phase(Phase::Transfer, Box::pin(reading))
            .await
            .map_err(|error| error.failure(target.endpoint(), " of max_body"))?;
        self.expect.body(target.endpoint(), &body)?;
        self.keep(target, connection);
        Ok(Next::Finish)
    }

    /// The request for `hop`, or the configured one.
    fn compose(&self, cx: &Context, hop: Option<&Hop>, jar: &Jar) -> Outgoing {
        let mut sent = net::Carrier(HeaderMap::with_capacity(8 + self.headers.len()));
        let target = hop.map_or(&self.target, |hop| &hop.target);
        sent.0.insert(header::HOST, target.host().clone());
        sent.0.insert(header::USER_AGENT, http1::USER_AGENT);
        sent.0.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        cx.inject(&mut sent);
        // The configured headers come last: they take precedence.
        for (name, value) in &self.headers {
            if hop.is_none_or(|hop| hop.sends(name)) {
                sent.0.insert(name, value.clone());
            }
        }
        if let Some(cookies) = jar.header(target, sent.0.get(header::COOKIE)) {
            sent.0.insert(header::COOKIE, cookies);
        }
        if self.kept.is_none() {
            sent.0.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let with_body = hop.is_none_or(|hop| hop.with_body);
        let mut request = Request::new(self.body.clone().filter(|_| with_body));
        *request.method_mut() = hop.map_or(&self.method, |hop| &hop.method).clone();
        *request.uri_mut() = target.uri().clone();
        *request.headers_mut() = sent.0;
        request
    }

    /// Sends `request` over the kept connection if it is still open, otherwise over a new one.
    async fn send(
        &self,
        cx: &Context,
        target: &Target,
        request: &Outgoing,
    ) -> Result<(Connection, response::Parts), Failure> {
        let failed = |error: http1::Error| error.failure(target.endpoint());
        if let Some(mut connection) = self.take(target)
            && connection.is_alive().await
        {
            // The peer may still close it while the request is sent. That is not an answer: the
            // request is sent again if its method may be repeated.
            let repeatable = request.method().is_idempotent();
            let sent = cx.phase(Phase::Request, connection.send(request)).await;
            let stale = sent.as_ref().is_err_and(|e| repeatable && e.is_stale());
            if !stale {
                connection.note_peer(cx);
                return sent.map(|head| (connection, head)).map_err(failed);
            }
        }
        let tls = target.is_secure().then(|| self.tls_for(target)).transpose()?;
        let stream = net::open(cx, target.endpoint(), tls).await?;
        let mut connection = Connection::new(stream);
        let head = cx.phase(Phase::Request, connection.send(request)).await.map_err(failed)?;
        Ok((connection, head))
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
        // The kept connection belongs to this origin; a request to another origin must not hold two
        // connections.
        let kept = self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|_| target.same_origin(&self.target))
    }

    fn keep(&self, target: &Target, connection: Connection) {
        if let Some(kept) = &self.kept
            && connection.is_reusable()
            && target.same_origin(&self.target)
        {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
    }
}

/// The span's name and method attributes: for methods outside the list of the conventions the
/// attribute is `_OTHER` and the name `HTTP`.
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
