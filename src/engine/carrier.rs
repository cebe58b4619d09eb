//! The headers of a request, as a carrier of trace context.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::Injector;

/// Headers, or gRPC metadata, into which a propagator writes trace context.
pub(crate) struct Carrier(pub(crate) HeaderMap);

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
