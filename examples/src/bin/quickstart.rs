//! Two limits on one handler, one line each.
//!
//! Run with `cargo run -p traffik-examples --bin quickstart`, then
//!
//! ```sh
//! for i in $(seq 21); do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/api/data; done
//! # 200 200 … 200 429: twenty pass, the next one is over the burst limit
//! curl -i localhost:3000/api/data
//! # HTTP/1.1 429 Too Many Requests, with Retry-After and RateLimit headers
//! ```

use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
#[throttle("api:sustained", rate = "500/hour")]
async fn data() -> &'static str {
    "hello"
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    let app = Router::new().route("/api/data", get(data));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
