//! `examples/two_listeners.rs`: what each listener serves, and that both drain and stop together.

use crate::support::daemon::wait_for;
use crate::support::example::{Example, get_from};

#[tokio::test]
async fn two_listeners_drain_and_stop_together() {
    let mut example = Example::start("two_listeners", &[("INSIDE", "127.0.0.1:0")]);
    let inside = example.next_address("probes on http://");
    wait_for("readiness", async || get_from(inside, "/ready").await.status == 200).await;
    assert_eq!(example.get("/orders").await.body, "[]\n");
    assert_eq!(example.get("/ready").await.status, 404, "the public does not ask probes");
    assert_eq!(get_from(inside, "/orders").await.status, 404);
    assert_eq!(get_from(inside, "/metrics").await.status, 200);

    example.terminate();
    let draining = r#"{"status":"draining","cache":"up"}"#;
    wait_for("the drain", async || get_from(inside, "/ready").await.body == draining).await;
    assert_eq!(example.get("/orders").await.body, "[]\n", "it serves on meanwhile");
    assert!(example.ended().await.success());
}
