//! Serves a cached answer to requests that are over the limit.
//!
//! Run with `cargo run -p traffik-examples --bin degrade_gracefully`, then
//!
//! ```sh
//! for i in 1 2 3 4; do curl -s localhost:3000/prices; done
//! # {"computed":1,"prices":[3,1,4]}
//! # {"computed":2,"prices":[3,1,4]}, and over the limit, the cached answer:
//! # {"computed":2,"prices":[3,1,4],"stale":true}
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use traffik::{Outcome, throttle};

/// Stands in for a cache.
static COMPUTED: AtomicU64 = AtomicU64::new(0);

fn compute() -> Value {
    json!({ "prices": [3, 1, 4], "computed": COMPUTED.fetch_add(1, Ordering::SeqCst) + 1 })
}

fn cached() -> Value {
    json!({ "prices": [3, 1, 4], "computed": COMPUTED.load(Ordering::SeqCst), "stale": true })
}

#[throttle("prices:fresh", rate = "2/min", on_throttled = "continue")]
async fn prices(outcome: Outcome) -> Json<Value> {
    Json(if outcome.is_throttled() { cached() } else { compute() })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    let app = Router::new().route("/prices", get(prices));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
