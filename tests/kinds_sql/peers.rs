//! Peers that accept a connection and then do not speak the protocol.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a peer does with a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// Reads, and says nothing.
    Silent,
    /// Closes at once.
    Close,
    /// Says something, then closes.
    Say(&'static [u8]),
    /// Says it again and again, a byte at a time.
    Trickle(&'static [u8]),
}

/// A peer on a loopback port that tells of each connection's end.
pub(super) struct Peer {
    pub(super) port: u16,
    ended: mpsc::UnboundedReceiver<()>,
}

impl Peer {
    pub(super) async fn that(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback listener");
        let port = listener.local_addr().expect("its address").port();
        let (end, ended) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let end = end.clone();
                tokio::spawn(async move {
                    serve(stream, manner).await;
                    let _ = end.send(());
                });
            }
        });
        Self { port, ended }
    }

    /// Awaits the end of a connection.
    pub(super) async fn freed(&mut self) {
        tokio::time::timeout(super::PLENTY, self.ended.recv()).await.expect("to be freed");
    }
}

async fn serve(mut stream: TcpStream, manner: Manner) {
    let (mut from, mut to) = stream.split();
    match manner {
        Manner::Close => {}
        Manner::Silent => {
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
        }
        Manner::Say(text) => {
            let _ = to.write_all(text).await;
            let _ = to.shutdown().await;
            let _ = from.read_to_end(&mut Vec::new()).await;
        }
        Manner::Trickle(text) => {
            let dribble = async {
                for byte in text.iter().cycle() {
                    if to.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let gone = async { while matches!(from.read(&mut [0; 512]).await, Ok(1..)) {} };
            tokio::select! { () = dribble => {}, () = gone => {} }
        }
    }
}
