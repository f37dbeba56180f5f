//! [`Teller`]: a fake cluster node that only answers who serves the slots, as the test dictates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A fake cluster node that speaks just enough RESP to report the slots. Stops when dropped.
#[derive(Debug)]
pub struct Teller {
    address: SocketAddr,
    told: Arc<Told>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Told {
    /// The port of the node that serves all slots, or 0 if no node does.
    owner: AtomicU16,
    connections: AtomicU64,
    asked: AtomicU64,
}

impl Teller {
    /// Starts a node that reports the server on port `owner` as the owner of all slots.
    ///
    /// # Panics
    /// Panics if no port is free.
    pub async fn start(owner: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let told = Arc::new(Told { owner: AtomicU16::new(owner), ..Told::default() });
        let shared = told.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let told = shared.clone();
                // If the client hangs up, that is its own business.
                tokio::spawn(async move { drop(answer(client, &told).await) });
            }
        });
        Self { address, told, task }
    }

    /// Returns `redis://127.0.0.1:<port>/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Reports another port as the owner of all slots from now on. Port 0 stands for no owner.
    pub fn name(&self, owner: u16) {
        self.told.owner.store(owner, Ordering::SeqCst);
    }

    /// Returns the number of connections made so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.told.connections.load(Ordering::SeqCst)
    }

    /// Returns how often the slots were asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.told.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut client: TcpStream, told: &Told) -> std::io::Result<()> {
    let (from, mut to) = client.split();
    let mut from = BufReader::new(from);
    while let Some(words) = command(&mut from).await? {
        let reply = match words.first().map(String::as_str) {
            Some("CLUSTER") => {
                told.asked.fetch_add(1, Ordering::SeqCst);
                match told.owner.load(Ordering::SeqCst) {
                    0 => "*0\r\n".to_owned(),
                    owner => {
                        let id = "0".repeat(40);
                        format!(
                            "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{owner}\r\n$40\r\n{id}\r\n"
                        )
                    }
                }
            }
            Some("CLIENT") => "+OK\r\n".to_owned(),
            _ => "-ERR unknown command\r\n".to_owned(),
        };
        to.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}

/// Reads the next command. Returns `None` once the client has hung up.
async fn command(from: &mut BufReader<impl AsyncReadExt + Unpin>) -> std::io::Result<Option<Vec<String>>> {
    let Some(words) = number(from, b'*').await? else { return Ok(None) };
    let mut command = Vec::new();
    for _ in 0..words {
        let Some(length) = number(from, b'$').await? else { return Ok(None) };
        let mut word = vec![0; length + 2];
        from.read_exact(&mut word).await?;
        word.truncate(length);
        command.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(Some(command))
}

async fn number(from: &mut BufReader<impl AsyncReadExt + Unpin>, sign: u8) -> std::io::Result<Option<usize>> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let number = line.trim_end().strip_prefix(char::from(sign)).and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
}
