//! The pages in a real browser.

mod live;
mod readers;

use crate::support::service::Service;

/// The address of a page of the service.
fn page(service: &Service, path: &str) -> String {
    format!("http://{}{path}", service.address)
}
