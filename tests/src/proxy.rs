//! [`Proxy`]: a TCP proxy in front of a server, which does what networks do to connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A TCP proxy on a free port of the loopback interface. Gone, with its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<AtomicU16>,
    how: Arc<How>,
    /// The accepting task; its connections die with it.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What happens to replies from now on.
#[derive(Debug, Default)]
struct How {
    latency_ms: AtomicU64,
    cutting: AtomicBool,
}

impl Proxy {
    /// A proxy of the server on this port, which passes everything on at once.
    ///
    /// # Panics
    /// When no port is free.
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

    /// `redis://127.0.0.1:<port>/`, through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Leads new connections to the server on this port, as a name does that has been given to another. Those that there
    /// are stay where they lead.
    pub fn lead_to(&self, upstream: u16) {
        self.upstream.store(upstream, Ordering::SeqCst);
    }

    /// Holds every piece of a reply back for so long.
    pub fn latency(&self, latency: Duration) {
        self.how.latency_ms.store(latency.as_millis() as u64, Ordering::SeqCst);
    }

    /// Whether replies of scripts (RESP arrays) are cut after their first bytes, and their connection with them.
    pub fn cut(&self, cutting: bool) {
        self.how.cutting.store(cutting, Ordering::SeqCst);
    }

    /// Refuses connections, and closes those that there are.
    pub async fn refuse(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // Until the listener is closed.
            let _ = task.await;
        }
    }

    /// Accepts again, on the same port.
    ///
    /// # Panics
    /// When somebody else has taken the port.
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

/// Passes everything on, until either side closes.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// As [`pass`], with what was asked for done to it.
async fn pass_replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, how: &How) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let reply = &buffer[..read];
        if how.cutting.load(Ordering::SeqCst) && reply.starts_with(b"*") {
            // Within the first of those that may have come at once.
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
