//! UDP peers that answer each datagram as a test says, however ill-behaved.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A peer on a free loopback port; it ends with this value.
pub(crate) struct UdpPeer {
    pub(crate) address: SocketAddr,
    clients: watch::Receiver<Vec<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl UdpPeer {
    /// A peer that sends back each of the datagrams that `answer` makes of the one received.
    pub(crate) async fn start(
        answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"), answer)
    }

    /// The same, with a listener for connections on the same port.
    pub(crate) async fn with_listener(
        answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> (Self, TcpListener) {
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            // The port may be another's for datagrams; the next one will do.
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().expect("its port")).await {
                return (Self::on(socket, answer), listener);
            }
        }
    }

    fn on(
        socket: UdpSocket,
        answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let address = socket.local_addr().expect("an address");
        let (hear, clients) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65536];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.expect("a datagram");
                for datagram in answer(&buffer[..length]) {
                    // A client that is gone already does not matter.
                    let _ = socket.send_to(&datagram, client).await;
                }
                hear.send_modify(|clients| clients.push(client));
            }
        });
        Self { address, clients, task }
    }

    /// Waits until a datagram has come, and returns where from.
    pub(crate) async fn client(&self) -> SocketAddr {
        let mut clients = self.clients.clone();
        let heard = clients.wait_for(|clients| !clients.is_empty());
        timeout(Duration::from_secs(20), heard).await.expect("in time").expect("a client")[0]
    }

    /// How many datagrams have come.
    pub(crate) fn heard(&self) -> usize {
        self.clients.borrow().len()
    }
}
