//! However many streams there are and however slow: who pays for them, and when they end.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Duration;
use vitalsign::http::Server;
use vitalsign::{Health, Status};

use super::{Network, ask, builder, open, scene, turn};
use crate::support::daemon::wait_for;
use crate::support::events::EventStream;
use crate::support::http::Client;
use crate::support::stage::{Running, patient, quick};

/// The next part of a body, as it was handed on.
async fn part(body: &mut Body) -> Bytes {
    let frame = body.frame().await.expect("it goes on").expect("it is not cut");
    frame.into_data().expect("no trailers")
}

#[tokio::test(start_paused = true)]
async fn a_summary_and_a_change_are_made_once_for_all_streams() {
    let (network, health) = scene().await;
    let app = health.clone().into_app();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(ask(&app, "GET", &[]).await.into_body());
    }
    for body in &mut bodies {
        assert!(part(body).await.starts_with(b"retry: "), "the first lines are each stream's own");
    }
    turn(&network, &health, Status::Down).await;
    for what in ["event: summary", "id: ", "event: summary", "event: summary"] {
        let mut parts = Vec::new();
        for body in &mut bodies {
            parts.push(part(body).await);
        }
        assert!(parts[0].starts_with(what.as_bytes()), "{parts:?}");
        assert!(parts.iter().all(|part| part.as_ptr() == parts[0].as_ptr()), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_256_streams_at_most_and_a_head_takes_none() {
    let (_network, health) = scene().await;
    let app = health.clone().into_app();
    let mut streams = Vec::new();
    for _ in 0..256 {
        assert_eq!(ask(&app, "HEAD", &[]).await.status().as_u16(), 200);
        streams.push(open(&app, &[]).await);
    }
    let refused = ask(&app, "GET", &[]).await;
    assert_eq!(refused.status().as_u16(), 503);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.headers()["retry-after"], "10");
    streams.pop();
    open(&app, &[]).await.event().await;
}

fn small() -> Health {
    builder(&Network::default()).build().expect("checks")
}

#[tokio::test]
async fn streams_take_at_most_half_of_the_connections() {
    let health = small();
    let running = Running::start(patient().max_connections(4), health.into_app()).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(EventStream::open(running.address, &[]).await);
    }
    for _ in 0..5 {
        let (refused, _) = EventStream::ask(running.address, &[]).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
        assert_eq!(Client::connect(running.address).await.get("/health").await.status, 200);
    }
    streams.pop();
    wait_for("its place is free", async || {
        EventStream::ask(running.address, &[]).await.0.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_stream_without_events_outlives_every_timeout() {
    let health = small();
    let running = Running::start(quick(), health.clone().into_app()).await;
    let mut events = EventStream::open(running.address, &[]).await;
    events.summary_of("up").await;
    // Silent connections one after the other are a clock that runs at the server's own pace.
    for _ in 0..5 {
        Client::connect(running.address).await.closed().await;
    }
    health.drain();
    events.summary_of("draining").await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops_and_hold_nothing_up() {
    let health = small();
    let running = Running::start(Server::new(), health.into_app()).await;
    let mut events = EventStream::open(running.address, &[]).await;
    events.event().await;
    let ((), stopped) = tokio::join!(events.ends(), running.stop());
    assert_eq!(stopped.requests_cut, 0);
}

#[tokio::test]
async fn a_host_that_serves_otherwise_ends_them_itself() {
    let health = small();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (stop, stopping) = oneshot::channel::<()>();
    let closing = health.clone();
    let shutdown = async move {
        let _ = stopping.await;
        closing.close_streams();
    };
    let app = health.router();
    let served =
        tokio::spawn(async { axum::serve(listener, app).with_graceful_shutdown(shutdown).await });
    let mut events = EventStream::open(address, &[]).await;
    events.event().await;
    stop.send(()).expect("it runs");
    events.ends().await;
    let ended = tokio::time::timeout(Duration::from_mins(1), served).await;
    ended.expect("nothing holds it up").expect("no panic").expect("no error");
}
