//! `examples/passive.rs`: how the service's own calls end is what its health says.

use serde_json::Value;

use crate::support::daemon::wait_for;
use crate::support::example::Example;

const UP: &str = r#"{"status":"up","shelf":"up"}"#;
const DOWN: &str = r#"{"status":"down","shelf":"down"}"#;

/// Whether `/metrics` holds this line.
async fn shows(example: &Example, line: &str) -> bool {
    example.get("/metrics").await.body.lines().any(|shown| shown == line)
}

#[tokio::test]
async fn calls_that_fail_take_it_out_of_rotation_and_are_counted() {
    let example = Example::start("passive", &[]);
    example.ready_is(200, UP).await;

    // A run of the check's own that comes in between ends the streak, so it may take a few more.
    let mut failed = 0;
    let mut shelf = Value::Null;
    wait_for("the shelf to be down", async || {
        assert_eq!(example.get("/books/burnt").await.status, 502);
        failed += 1;
        shelf = example.status().await["checks"]["shelf"].take();
        shelf["status"] == "down"
    })
    .await;
    assert!(failed >= 3, "{failed} failures do not reach the threshold");
    assert_eq!(shelf["last_run"]["reason"], "not_serving", "{shelf}");
    example.ready_is(503, DOWN).await;
    let labels = "check=\"shelf\",kind=\"function\"";
    let failures =
        format!("health_check_failures_total{{{labels},reason=\"not_serving\"}} {failed}");
    assert!(shows(&example, &failures).await, "{failures}");

    let missing = example.get("/books/ulysses").await;
    assert_eq!(missing.status, 404);
    example.ready_is(200, UP).await;
    assert!(shows(&example, &failures).await, "a 404 is no failure of the shelf");
    assert_eq!(example.get("/books/emma").await.body, "Emma, by Jane Austen");
    let requests = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                    http_route=\"/books/{title}\",http_response_status_code=\"502\"}";
    assert!(shows(&example, &format!("{requests} {failed}")).await, "{requests}");
}

#[tokio::test]
async fn it_drains_before_it_stops() {
    let example = Example::start("passive", &[]);
    example.ready_is(200, UP).await;
    example.terminate();
    example.ready_is(503, r#"{"status":"draining","shelf":"up"}"#).await;
    assert_eq!(example.get("/books/emma").await.status, 200, "it serves on meanwhile");
    assert!(example.ended().await.success());
}
