//! Two limits on one route: both must pass, and a refusal by either consumes nothing from the other.
//!
//! Run with `cargo run -p traffik-examples --bin layered`, then
//!
//! ```sh
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/data; done   # 200 200 200 429
//! curl -i localhost:3000/data      # refused by "burst"; "hourly" still stands at 7 of 10
//! curl localhost:3000/left         # burst 0 of 3, hourly 7 of 10
//! ```

use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::extract::ConnectInfo;
use axum::{Router, routing::get};
use traffik::{Throttle, throttle};

static BURST: LazyLock<Throttle> = LazyLock::new(|| declare("burst", "3/min"));
static HOURLY: LazyLock<Throttle> = LazyLock::new(|| declare("hourly", "10/hour"));

fn declare(uid: &str, rate: &str) -> Throttle {
    Throttle::builder(uid).rate(rate).build().expect("uid and rate are written right above")
}

#[throttle(BURST)]
#[throttle(HOURLY)]
async fn data() -> &'static str {
    "hello"
}

/// Reading the state consumes nothing.
async fn left(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Result<String, String> {
    let mut lines = String::new();
    for throttle in [&BURST, &HOURLY] {
        if let Some(stat) = throttle.stat(peer.ip()).await.map_err(|error| error.to_string())? {
            lines += &format!("{} {} of {}\n", stat.uid, stat.remaining, stat.limit);
        }
    }
    Ok(lines)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/data", get(data)).route("/left", get(left));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
