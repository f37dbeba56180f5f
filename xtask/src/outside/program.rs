//! Sends three requests over a real socket: two pass, and the third is refused.

use axum::{Router, routing::get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use traffik::strategy::TokenBucket;
use traffik::throttle;

#[throttle("outside", rate = "2/day", strategy = TokenBucket::new())]
async fn hello() -> &'static str {
    "hello"
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async { traffik::axum::serve(listener, Router::new().route("/", get(hello))).await });
    for expected in ["200", "200", "429"] {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert_eq!(answer.get(9..12), Some(expected), "{answer}");
    }
    Ok(())
}
