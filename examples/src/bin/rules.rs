//! Rules select the requests that a limit applies to, by path, method and predicate.
//!
//! Run with `cargo run -p traffik-examples --bin rules`, then
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/api/users; done
//! # 200 200 429: two a minute
//! curl -s -o /dev/null -w '%{http_code}\n' localhost:3000/api/health
//! # 200: health checks pass, uncounted
//! curl -s -o /dev/null -w '%{http_code}\n' -H 'x-batch-job: nightly' localhost:3000/api/users
//! # 200: so do our own nightly jobs
//! curl -s -o /dev/null -w '%{http_code}\n' localhost:3000/about
//! # 200: the limit doesn't apply outside of /api
//! ```

use std::sync::LazyLock;

use axum::Router;
use axum::http::Method;
use tokio::net::TcpListener;
use traffik::{Parts, Throttle, ThrottleLayer, bypass_if, throttle_if};

static API: LazyLock<Throttle> = LazyLock::new(|| {
    Throttle::builder("rules:api")
        .rate("2/min")
        // One matching bypass is enough …
        .rule(bypass_if().path("/api/health").method(Method::GET))
        .rule(bypass_if().when(is_our_own))
        // … but all of these must match.
        .rule(throttle_if().path("/api/**"))
        .build()
        .expect("a valid throttle")
});

/// Predicates run last, and only if path and method haven't already decided.
fn is_our_own(request: &Parts) -> bool {
    request.headers.get("x-batch-job").is_some_and(|job| job == "nightly")
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    let app = Router::new().fallback(async || "hello\n").layer(ThrottleLayer::new([&*API]));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
