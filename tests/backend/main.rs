//! Takes spans over OTLP and gRPC, and shows them by Jaeger's query API and interface.
//!
//! It listens on free loopback ports, and says on its output which: first where it takes spans,
//! then where it is asked for them.

use std::error::Error;

use otlp_embedded::{Config, State, TraceServiceImpl, TraceServiceServer, ui_app};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Server, server::TcpIncoming};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let state = State::new(Config { max_length: 10_000, max_memory_usage: 64 << 20 });
    let taking = TcpListener::bind("127.0.0.1:0").await?;
    let asked = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}\n{}", taking.local_addr()?, asked.local_addr()?);

    let spans = TraceServiceServer::new(TraceServiceImpl::new(state.clone()));
    let spans = spans.accept_compressed(CompressionEncoding::Gzip);
    let spans = Server::builder().add_service(spans);
    let query = axum::serve(asked, ui_app(state, "/"));
    tokio::select! {
        ended = spans.serve_with_incoming(TcpIncoming::from(taking)) => Ok(ended?),
        ended = query => Ok(ended?),
    }
}
