//! Connections to a collector of gRPC over TLS.
//!
//! tonic makes a TLS client of its own, which trusts less than the checks do: it takes no
//! certificate that is its own authority, and none of P-521. So it is given connections that are
//! made here.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint, Error};
use url::Url;

/// The port of a URL of HTTPS that names none.
const PORT: u16 = 443;

/// The endpoint at `url`. Requests name its scheme, and tonic sees the one without TLS, for which it
/// takes connections as they are.
pub(super) fn endpoint(url: &Url) -> Result<Endpoint, Error> {
    let mut plain = url.clone();
    if url.scheme() != "https" {
        return Endpoint::from_shared(String::from(plain));
    }
    // It cannot be refused: both schemes belong to the web.
    let _ = plain.set_scheme("http");
    let _ = plain.set_port(Some(url.port().unwrap_or(PORT)));
    let endpoint = Endpoint::from_shared(String::from(plain))?;
    Ok(match url.as_str().parse() {
        Ok(origin) => endpoint.origin(origin),
        Err(_) => endpoint,
    })
}

/// A channel to `endpoint` that connects when it is first used, and verifies by `config`.
pub(super) fn channel_over_tls(endpoint: &Endpoint, config: &Arc<ClientConfig>) -> Channel {
    let config = Arc::clone(config);
    let connector = tower::service_fn(move |uri: Uri| {
        let config = Arc::clone(&config);
        async move { connect(&uri, config).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector_lazy(connector)
}

async fn connect(uri: &Uri, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(PORT))).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(name, stream).await
}
