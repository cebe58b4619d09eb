//! A gRPC server that tells its health by gRPC's own protocol.
//!
//! ```text
//! CACHE=127.0.0.1:6379 cargo run --features tonic --example tonic
//! grpc_health_probe -addr=127.0.0.1:8080                  # the server as a whole: its readiness
//! grpc_health_probe -addr=127.0.0.1:8080 -service=cache   # one check
//! ```

use std::{env, error::Error, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Server, server::TcpIncoming};
use vitalsign::{Health, every, stop_signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = env::var("CACHE").unwrap_or_else(|_| "127.0.0.1:6379".to_owned());
    let connect = move || {
        let cache = cache.clone();
        async move { TcpStream::connect(cache).await.map(drop) }
    };
    let cache = every(Duration::from_secs(1)).from_fn(connect);
    let health = Health::builder("orders").check("cache", cache).build()?;

    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // After a signal the server says NOT_SERVING for 5 s, so that clients turn elsewhere; then
    // watches end, which have no end of their own, and so does the server.
    let stop = health.shutdown(stop_signal()?, Duration::from_secs(5));
    Server::builder()
        // Clients that check health by themselves ask by the name of the service they call.
        .add_service(health.grpc_service().serves("orders.v1.Orders"))
        // .add_service(OrdersServer::new(…))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop)
        .await?;
    Ok(())
}
