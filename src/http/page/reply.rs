//! The answers of the pages: common headers and compression.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
};

use crate::http::{accept, compression};

/// All that a page may do: load its own style, script and icon, and ask its own service for news.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// An SVG picture needs nothing at all.
const PICTURE_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// A text, as it is and compressed.
#[derive(Debug, Clone)]
pub(super) struct Body {
    plain: Bytes,
    gzip: Bytes,
}

impl Body {
    pub(super) fn new(text: String) -> Self {
        let plain = Bytes::from(text);
        let gzip = zipped(&plain);
        Self { plain, gzip }
    }

    pub(super) const fn of(plain: Bytes, gzip: Bytes) -> Self {
        Self { plain, gzip }
    }

    /// Its sizes, as it is and compressed.
    #[cfg(test)]
    pub(super) const fn sizes(&self) -> (usize, usize) {
        (self.plain.len(), self.gzip.len())
    }

    /// Whether both are one and the same text, not just equal ones.
    #[cfg(test)]
    pub(super) fn is(&self, other: &Self) -> bool {
        self.plain.as_ptr() == other.plain.as_ptr()
    }

    fn answer(self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let gzip = accept::gzip(headers) && !self.gzip.is_empty();
        let kind = [(CONTENT_TYPE, media_type), (VARY, "Accept-Encoding")];
        let encoding = gzip.then_some([(CONTENT_ENCODING, "gzip")]);
        (kind, encoding, if gzip { self.gzip } else { self.plain }).into_response()
    }
}

/// A page.
pub(super) fn page(body: Body, headers: &HeaderMap) -> Response {
    let policies = [(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    (policies, body.answer(headers, "text/html; charset=utf-8")).into_response()
}

/// Something under a name that changes with its content.
pub(super) fn asset(body: Body, media_type: &'static str, headers: &HeaderMap) -> Response {
    let kept = [
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (CONTENT_SECURITY_POLICY, PICTURE_POLICY),
    ];
    (kept, body.answer(headers, media_type)).into_response()
}

/// A picture of what is now.
pub(super) fn picture(text: String) -> Response {
    let kind = [(CONTENT_TYPE, "image/svg+xml"), (CONTENT_SECURITY_POLICY, PICTURE_POLICY)];
    (kind, text).into_response()
}

/// `body` with gzip; empty where that fails, which memory never does.
pub(super) fn zipped(body: &[u8]) -> Bytes {
    compression::gzip(body).unwrap_or_default().into()
}
