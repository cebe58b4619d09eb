//! A service whose real calls say how its dependency is.
//!
//! It lends books. Each request asks the shelf, and how that went counts for the check `shelf` as a
//! run of it would: a shelf that fails its readers takes the service out of rotation at once, not
//! when the check is next due. While readers are served, the check has nothing to ask.
//!
//! ```text
//! cargo run --example passive
//! curl localhost:8080/books/emma      # a call that succeeds
//! curl localhost:8080/books/ulysses   # a 404: the shelf answered, so that is a success too
//! curl localhost:8080/books/burnt     # a call that fails; three of them …
//! curl -i localhost:8080/ready        # … and it is no longer ready
//! curl localhost:8080/metrics         # health_check_runs_total counts all of the shelf's calls,
//!                                     # http_server_request_duration_seconds those of the readers
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Router, routing::get};
use vitalsign::http::RequestMetrics;
use vitalsign::{Health, Observer, Reason, every, stop_signal};

/// Stands for a client of a database.
#[derive(Clone)]
struct Shelf;

#[derive(Debug)]
enum ShelfError {
    NotFound,
    Lost,
}

impl Shelf {
    async fn ping() -> std::io::Result<()> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    async fn find(&self, title: &str) -> Result<String, ShelfError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        match title {
            "emma" => Ok("Emma, by Jane Austen".to_owned()),
            "burnt" => Err(ShelfError::Lost),
            _ => Err(ShelfError::NotFound),
        }
    }
}

#[derive(Clone)]
struct Library {
    shelf: Shelf,
    observer: Observer,
}

async fn lend(
    State(library): State<Library>,
    Path(title): Path<String>,
) -> Result<String, StatusCode> {
    let call = library.shelf.find(&title);
    // Which errors are the dependency's is for the application to say.
    let judge = |error: &ShelfError| match error {
        ShelfError::NotFound => None,
        ShelfError::Lost => Some(Reason::NotServing),
    };
    library.observer.call_with(call, judge).await.map_err(|error| match error {
        ShelfError::NotFound => StatusCode::NOT_FOUND,
        ShelfError::Lost => StatusCode::BAD_GATEWAY,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shelf = every(Duration::from_secs(10)).spare_when_observed(true).from_fn(Shelf::ping);
    let (recorder, exporter) = vitalsign::metrics::exporter();
    metrics::set_global_recorder(recorder)?;
    let health = Health::builder("library").check("shelf", shelf).exporter(exporter).build()?;
    let library = Library { shelf: Shelf, observer: health.observe("shelf")? };

    let app = Router::new()
        .route("/books/{title}", get(lend))
        .with_state(library)
        .merge(health.router())
        // Rate, errors and duration of every route, through the recorder above.
        .layer(RequestMetrics::new());

    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = health.shutdown(stop_signal()?, Duration::from_secs(5));
    // Who is told details, such as why a call failed, depends on where the request comes from.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    Ok(())
}
