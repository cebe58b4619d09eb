//! TCP peers that do with each connection what a script says, however ill-behaved.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// One side of a connection, with or without TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that a script was given.
pub(crate) type Wire = Box<dyn Duplex>;

/// What a script yields: the connection, to be held until the client closes it, or nothing when
/// it is closed already.
pub(crate) type Served = Pin<Box<dyn Future<Output = Option<Wire>> + Send>>;

/// What to do with a connection.
pub(crate) type Script = Arc<dyn Fn(Wire) -> Served + Send + Sync>;

/// A peer on a free loopback port; it ends with this value.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    accepted: watch::Receiver<usize>,
    closed: watch::Receiver<usize>,
    resumed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// A peer that treats every connection by `script`.
    pub(crate) async fn start(script: Script) -> Self {
        Self::listen("127.0.0.1:0", None, script, Arc::default()).await
    }

    /// The same over TLS.
    pub(crate) async fn start_tls(config: Arc<ServerConfig>, script: Script) -> Self {
        Self::listen("127.0.0.1:0", Some(config), script, Arc::default()).await
    }

    /// The same on the IPv6 loopback address.
    pub(crate) async fn start_v6(script: Script) -> Self {
        Self::listen("[::1]:0", None, script, Arc::default()).await
    }

    /// An HTTP server that keeps connections open and answers each request by `answer`, whose
    /// bytes are the whole answer.
    pub(crate) async fn http(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let requests = Arc::default();
        let script = http_script(answer, Arc::clone(&requests));
        Self::listen("127.0.0.1:0", None, script, requests).await
    }

    /// The same over TLS.
    pub(crate) async fn https(
        config: Arc<ServerConfig>,
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::default();
        let script = http_script(answer, Arc::clone(&requests));
        Self::listen("127.0.0.1:0", Some(config), script, requests).await
    }

    async fn listen(
        at: &str,
        tls: Option<Arc<ServerConfig>>,
        script: Script,
        requests: Arc<Mutex<Vec<String>>>,
    ) -> Self {
        let listener = TcpListener::bind(at).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (accept, accepted) = watch::channel(0);
        let (close, closed) = watch::channel(0);
        let close = Arc::new(close);
        let resumed = Arc::new(AtomicUsize::new(0));
        let resume = Arc::clone(&resumed);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                accept.send_modify(|n| *n += 1);
                let (tls, script) = (tls.clone(), script.clone());
                let (close, resume) = (close.clone(), resume.clone());
                connections.spawn(async move {
                    serve(stream, tls, &script, &resume).await;
                    close.send_modify(|n| *n += 1);
                });
            }
        });
        Self { address, requests, accepted, closed, resumed, task }
    }

    /// How many connections were accepted.
    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }

    /// How many TLS sessions were resumed, so that no certificate was shown.
    pub(crate) fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Waits until as many connections have been accepted.
    pub(crate) async fn has_accepted(&self, count: usize) {
        wait(self.accepted.clone(), count).await;
    }

    /// Waits until as many connections have ended.
    pub(crate) async fn has_seen_closed(&self, count: usize) {
        wait(self.closed.clone(), count).await;
    }

    /// The requests that an HTTP server was sent: heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn wait(mut counter: watch::Receiver<usize>, count: usize) {
    let reached = counter.wait_for(|n| *n >= count);
    timeout(Duration::from_secs(20), reached).await.expect("it happens in time").unwrap();
}

async fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    script: &Script,
    resumed: &AtomicUsize,
) {
    stream.set_nodelay(true).unwrap();
    let wire: Wire = match tls {
        None => Box::new(stream),
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => {
                if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                    resumed.fetch_add(1, Ordering::Relaxed);
                }
                Box::new(stream)
            }
            Err(_) => return,
        },
    };
    if let Some(mut wire) = script(wire).await {
        // Whether by FIN or RST: the other side is done.
        let _ = tokio::io::copy(&mut wire, &mut tokio::io::sink()).await;
    }
}

/// Waits until the runtime has heard of all that has happened on its sockets so far.
pub(crate) async fn settle() {
    let peer = Peer::start(closing()).await;
    let mut stream = TcpStream::connect(peer.address).await.unwrap();
    let _ended = stream.read(&mut [0]).await;
}

/// A bound port on which nobody listens; it stays reserved while this lives.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Accepts and never says a word.
pub(crate) fn silent() -> Script {
    Arc::new(|wire| Box::pin(async { Some(wire) }))
}

/// Closes at once.
pub(crate) fn closing() -> Script {
    Arc::new(|_| Box::pin(async { None }))
}

/// Waits for a request, whatever it is, and answers with `bytes`; then waits for the other side
/// to close.
pub(crate) fn answering(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes: Arc<[u8]> = bytes.into().into();
    Arc::new(move |wire| {
        let bytes = Arc::clone(&bytes);
        Box::pin(async move {
            let mut wire = hear(wire).await?;
            wire.write_all(&bytes).await.ok()?;
            Some(wire)
        })
    })
}

/// As [`answering`], but closes after the answer.
pub(crate) fn answering_once(bytes: impl Into<Vec<u8>>) -> Script {
    then_closing(answering(bytes))
}

/// Waits for a request, answers with `start`, and goes on with `more` for ever, as fast as it can.
pub(crate) fn endless(start: &'static [u8], more: &'static [u8]) -> Script {
    Arc::new(move |wire| {
        Box::pin(async move {
            let mut wire = hear(wire).await?;
            wire.write_all(start).await.ok()?;
            while wire.write_all(more).await.is_ok() {}
            None
        })
    })
}

/// Waits for a request, then sends `start` a byte at a time, and the letter `a` for ever.
pub(crate) fn trickling(start: &'static [u8]) -> Script {
    Arc::new(move |wire| Box::pin(async move { trickle(hear(wire).await?, start).await }))
}

async fn trickle(mut wire: Wire, start: &[u8]) -> Option<Wire> {
    for byte in start.iter().chain(std::iter::repeat(&b'a')) {
        wire.write_all(&[*byte]).await.ok()?;
        wire.flush().await.ok()?;
        // The pace is the point: each byte comes well within any timeout for a read.
        sleep(Duration::from_millis(2)).await;
    }
    None
}

/// Says `hello` at once, waits for a request and answers with `bytes`.
pub(crate) fn greeting(hello: &[u8], bytes: &str) -> Script {
    let (hello, answer): (Arc<[u8]>, _) = (hello.into(), answering(bytes));
    Arc::new(move |mut wire| {
        let (hello, answer) = (Arc::clone(&hello), Arc::clone(&answer));
        Box::pin(async move {
            wire.write_all(&hello).await.ok()?;
            answer(wire).await
        })
    })
}

/// Unasked, sends `start` a byte at a time, and the letter `a` for ever.
pub(crate) fn greeting_slowly(start: &'static [u8]) -> Script {
    Arc::new(move |wire| Box::pin(trickle(wire, start)))
}

/// As `script`, but closes at its end.
pub(crate) fn then_closing(script: Script) -> Script {
    Arc::new(move |wire| {
        let served = script(wire);
        Box::pin(async {
            served.await?.shutdown().await.ok()?;
            None
        })
    })
}

/// Waits for the first bytes of a request.
async fn hear(mut wire: Wire) -> Option<Wire> {
    let heard = wire.read(&mut [0; 4096]).await.ok()?;
    (heard > 0).then_some(wire)
}

fn http_script(
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    requests: Arc<Mutex<Vec<String>>>,
) -> Script {
    let answer = Arc::new(answer);
    Arc::new(move |mut wire| {
        let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
        Box::pin(async move {
            let mut read = Vec::new();
            loop {
                let request = loop {
                    if let Some(length) = request_length(&read) {
                        break String::from_utf8(read.drain(..length).collect()).ok()?;
                    }
                    if wire.read_buf(&mut read).await.ok()? == 0 {
                        return None;
                    }
                };
                requests.lock().unwrap().push(request.clone());
                wire.write_all(&answer(&request)).await.ok()?;
                wire.flush().await.ok()?;
            }
        })
    })
}

/// The length of the first request in `bytes`, once it is complete.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = head + body.map_or(0, |length| length.trim().parse().expect("a length"));
    (bytes.len() >= length).then_some(length)
}

/// A complete HTTP answer with `status`, further `headers` (each with its line end) and `body`.
pub(crate) fn http_answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
