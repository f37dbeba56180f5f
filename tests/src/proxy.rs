//! [`Proxy`]: a TCP proxy that does to connections what networks do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A TCP proxy on a free port of the loopback interface. It stops and closes its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<AtomicU16>,
    how: Arc<How>,
    /// The accept loop, which owns the connections: aborting it closes them.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What currently happens to replies.
#[derive(Debug, Default)]
struct How {
    latency_ms: AtomicU64,
    cutting: AtomicBool,
}

impl Proxy {
    /// Starts a proxy for the server on this port. It passes everything on without delay.
    ///
    /// # Panics
    /// Panics if no port is free.
    pub async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let proxy = Self {
            address,
            upstream: Arc::new(AtomicU16::new(upstream)),
            how: Arc::default(),
            task: Mutex::default(),
        };
        proxy.accept(listener);
        proxy
    }

    /// Returns `redis://127.0.0.1:<port>/`, the URL of the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Directs new connections to the server on this port, like a DNS name that is repointed. Existing
    /// connections stay where they are.
    pub fn lead_to(&self, upstream: u16) {
        self.upstream.store(upstream, Ordering::SeqCst);
    }

    /// Delays every chunk of a reply by this long.
    pub fn latency(&self, latency: Duration) {
        self.how.latency_ms.store(latency.as_millis() as u64, Ordering::SeqCst);
    }

    /// Sets whether script replies (RESP arrays) are cut off after their first bytes, closing the connection.
    pub fn cut(&self, cutting: bool) {
        self.how.cutting.store(cutting, Ordering::SeqCst);
    }

    /// Refuses new connections and closes existing ones.
    pub async fn refuse(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // Wait until the listener is closed.
            let _ = task.await;
        }
    }

    /// Accepts connections again on the same port.
    ///
    /// # Panics
    /// Panics if another process has taken the port.
    pub async fn serve(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port that was ours");
        self.accept(listener);
    }

    fn accept(&self, listener: TcpListener) {
        let (upstream, how) = (self.upstream.clone(), self.how.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, how) = (upstream.load(Ordering::SeqCst), how.clone());
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server) => {}
                        () = pass_replies(from_server, to_client, &how) => {}
                    }
                });
            }
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Passes everything on until either side closes.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// Passes replies on like [`pass`], with the configured faults applied.
async fn pass_replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, how: &How) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let reply = &buffer[..read];
        if how.cutting.load(Ordering::SeqCst) && reply.starts_with(b"*") {
            // Several replies may have arrived at once: cut within the first.
            let _ = to.write_all(&reply[..read.min(12) / 2]).await;
            return;
        }
        let latency = Duration::from_millis(how.latency_ms.load(Ordering::SeqCst));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if to.write_all(reply).await.is_err() {
            return;
        }
    }
}
