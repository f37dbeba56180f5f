//! Two limits around a whole router: one for all requests, and another for writes.
//!
//! Run with `cargo run -p traffik-examples --bin router_layer`, then
//!
//! ```sh
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' -X POST localhost:3000/notes; done
//! # 200 200 200 429: three writes a minute
//! curl -i localhost:3000/notes
//! # HTTP/1.1 200 OK: reads still pass
//! # ratelimit: "notes:all";r=96;t=…: the refused write was not charged here either
//! ```

use std::sync::LazyLock;

use axum::{Router, http::Method, routing::get};
use tokio::net::TcpListener;
use traffik::{Throttle, ThrottleLayer, throttle_if};

static ALL: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("notes:all").rate("100/min").build().expect("a valid throttle"));

static WRITES: LazyLock<Throttle> = LazyLock::new(|| {
    let writes = throttle_if().methods([Method::POST, Method::PUT, Method::DELETE]);
    Throttle::builder("notes:writes").rate("3/min").rule(writes).build().expect("a valid throttle")
});

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    // One layer makes one decision: a request passes both throttles, or is charged to neither.
    let app = Router::new()
        .route("/notes", get(async || "buy milk\n").post(async || "noted\n"))
        .layer(ThrottleLayer::new([&*ALL, &*WRITES]));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
