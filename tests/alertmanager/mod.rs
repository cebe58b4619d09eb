//! Alerts reach Alertmanager once, in time, and end when they should.

mod posts;
mod real;
mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use vitalsign::alertmanager::{Alertmanager, Builder};
use vitalsign::config::Secret;
use vitalsign::{Declared, Failure, Health, Reason, every};

use crate::support::daemon::wait_for;
use crate::support::peer::Peer;

/// A dependency that a test takes away and gives back.
#[derive(Clone, Default)]
struct Dependency(Arc<AtomicBool>);

impl Dependency {
    fn fails(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn serves(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// An informative check of it, asked often, that is down after one failed run.
    fn check(&self) -> Declared {
        let failing = Arc::clone(&self.0);
        let options = every(Duration::from_millis(50)).failure_threshold(1).gates([]);
        options.from_fn(move || {
            let failed = failing.load(Ordering::SeqCst);
            async move {
                let gone = || Failure::new(Reason::ConnectionRefused, "nobody listens");
                if failed { Err(gone()) } else { Ok(()) }
            }
        })
    }
}

/// A sender to these URLs, to be adjusted.
fn sender(urls: &[String]) -> Builder {
    let sender = Alertmanager::builder("orders");
    urls.iter().fold(sender, |sender, url| sender.url(Secret::new(url)))
}

fn url(peer: &Peer) -> String {
    format!("http://{}", peer.address)
}

/// The health of these checks, told to `sender`.
fn health(sender: &Alertmanager, checks: &[(&str, &Dependency)]) -> Health {
    let builder = Health::builder("orders").sink(sender.sink());
    let builder =
        checks.iter().fold(builder, |builder, (name, one)| builder.check(*name, one.check()));
    builder.build().expect("checks that can be run")
}

/// The alerts of each post that `peer` was sent.
fn posts(peer: &Peer) -> Vec<Vec<Value>> {
    let alerts = |request: String| {
        let (head, body) = request.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("POST "), "{head}");
        serde_json::from_str(body).expect("a list")
    };
    peer.requests().into_iter().map(alerts).collect()
}

/// The checks that a post is about, those whose alert ends by it with a `-`.
fn checks(post: &[Value]) -> Vec<String> {
    let brief = |alert: &Value| {
        let ends: jiff::Timestamp = alert["endsAt"].as_str().expect("an end").parse().unwrap();
        let over = ends <= jiff::Timestamp::now();
        let check = alert["labels"]["check"].as_str().expect("a check");
        format!("{}{check}", if over { "-" } else { "" })
    };
    let mut checks: Vec<_> = post.iter().map(brief).collect();
    checks.sort();
    checks
}

/// Waits until `peer` was sent as many posts.
async fn posted(peer: &Peer, count: usize) -> Vec<Vec<Value>> {
    wait_for("posts", async || peer.requests().len() >= count).await;
    posts(peer)
}
