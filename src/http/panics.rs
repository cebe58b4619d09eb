//! Turns a panic of a handler into a 500 answer, so that the connection stays open.
//!
//! `tower-http` has such a layer too, but it boxes the body of every answer anew, which a probe
//! would pay for each time.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use hyper::Request;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::problem::Problem;
use crate::model::log_targets;

/// A layer that answers 500 where a handler panics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CatchPanic;

impl<S> Layer<S> for CatchPanic {
    type Service = Caught<S>;

    fn layer(&self, inner: S) -> Caught<S> {
        Caught { inner }
    }
}

/// A service whose panics are caught.
#[derive(Debug, Clone)]
pub(crate) struct Caught<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Caught<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Catching<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Catching { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The answer of a service whose panics are caught.
    #[derive(Debug)]
    pub(crate) struct Catching<F> {
        #[pin]
        inner: F,
    }
}

impl<F, E> Future for Catching<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner;
        // What panicked is not polled again: the answer is ready.
        catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).unwrap_or_else(|_| {
            // The panic's own text may hold anything: the panic hook shows it, the answer does not.
            tracing::error!(target: log_targets::SERVER, "a request handler panicked");
            Poll::Ready(Ok(Problem::internal().into_response()))
        })
    }
}
