//! Rules: which requests a limit is about, by path, method and predicate.
//!
//! Run with `cargo run -p traffik-examples --bin rules`, then
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/api/users; done
//! # 200 200 429: two a minute
//! curl -s -o /dev/null -w '%{http_code}\n' localhost:3000/api/health
//! # 200: health checks pass, uncounted
//! curl -s -o /dev/null -w '%{http_code}\n' -H 'x-batch-job: nightly' localhost:3000/api/users
//! # 200: so does our own nightly job
//! curl -s -o /dev/null -w '%{http_code}\n' localhost:3000/about
//! # 200: and what is not below /api is none of its business
//! ```

use std::sync::LazyLock;

use axum::Router;
use axum::http::Method;
use tokio::net::TcpListener;
use traffik::{Parts, Throttle, ThrottleLayer, bypass_if, throttle_if};

static API: LazyLock<Throttle> = LazyLock::new(|| {
    Throttle::builder("rules:api")
        .rate("2/min")
        // Any bypass that matches is enough …
        .rule(bypass_if().path("/api/health").method(Method::GET))
        .rule(bypass_if().when(is_our_own))
        // … and all of these must.
        .rule(throttle_if().path("/api/**"))
        .build()
        .expect("a valid throttle")
});

/// Asked last, and only where path and method leave the question open.
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
