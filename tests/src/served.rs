//! A router behind a real socket, and a client that speaks plain HTTP/1.1 to it.

use std::net::SocketAddr;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server on a free port. Stops when dropped.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

/// A response as it came over the wire.
#[derive(Debug)]
pub struct Answer(String);

impl Answer {
    /// Returns the status code.
    ///
    /// # Panics
    /// Panics if there is no status line because the response is not HTTP.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|status| status.parse().ok()).expect("an HTTP/1.1 status line")
    }

    /// Returns the status line and headers, in lower case.
    #[must_use]
    pub fn head(&self) -> String {
        self.0.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase()
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

impl Served {
    /// Serves a router the way users do, with `traffik::axum::serve`.
    ///
    /// # Panics
    /// Panics if no port is free.
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let task = tokio::spawn(async move { traffik::axum::serve(listener, router).await });
        Self { address, task }
    }

    /// Sends `GET path` with this API key on a connection of its own.
    ///
    /// # Panics
    /// Panics if the server does not answer.
    pub async fn get(&self, path: &str, key: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the server answers");
        Answer(answer)
    }

    /// Sends `n` requests one after the other and returns their statuses.
    pub async fn statuses(&self, path: &str, key: &str, n: usize) -> Vec<u16> {
        let mut statuses = Vec::with_capacity(n);
        for _ in 0..n {
            statuses.push(self.get(path, key).await.status());
        }
        statuses
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
