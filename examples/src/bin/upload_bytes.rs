//! Limits uploads by the byte: reserves the announced length, and charges for what was read.
//!
//! Run with `cargo run -p traffik-examples --bin upload_bytes`, then
//!
//! ```sh
//! curl -d 'nine byte' localhost:3000/upload                                  # read 9 bytes
//! curl -d 'nine byte' -H 'transfer-encoding: chunked' localhost:3000/upload  # no length given: reserves 1000
//! curl -d '' localhost:3000/upload                                           # read 0 bytes, charged for 1
//! curl localhost:3000/left                                                   # 19 of 10000 bytes used
//! head -c 20000 /dev/zero | curl -i --data-binary @- localhost:3000/upload   # 429, body unread: it never fits
//! ```

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use futures_util::StreamExt;
use traffik::{Charge, Parts, Settled, Throttle, throttle};

/// The number of bytes to reserve for an upload of unknown length.
const UNANNOUNCED: u64 = 1_000;

/// Never returns 0, which would not be counted, so that a client could send any number of empty uploads.
fn announced(req: &Parts) -> u64 {
    let length = req.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(UNANNOUNCED).max(1)
}

static BYTES: LazyLock<Throttle> = LazyLock::new(|| {
    Throttle::builder("bytes").rate("10000/hour").cost_with(announced).build().expect("a valid throttle")
});

/// A client that aborts an upload pays for what it has sent.
#[throttle(BYTES)]
async fn upload(charge: Charge, body: Body) -> String {
    let (mut pieces, mut read) = (body.into_data_stream(), 0);
    while let Some(Ok(piece)) = pieces.next().await {
        read += piece.len() as u64;
    }
    match charge.settle(read.max(1)).await {
        Ok(Settled::AtLimit { missing }) => format!("read {read} bytes, {missing} more than were left\n"),
        _ => format!("read {read} bytes\n"),
    }
}

async fn left(parts: Parts) -> Result<String, traffik::Error> {
    let stat = BYTES.stat(&parts).await?;
    Ok(stat.map_or_else(String::new, |stat| format!("{} of {} bytes used\n", stat.used, stat.limit)))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/upload", post(upload)).route("/left", get(left));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
