//! Exempts some clients from throttling: no counter is touched, and no backend is called.
//!
//! Run with `cargo run -p traffik-examples --bin exemptions`, then
//!
//! ```sh
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/; done                            # 200 200 200 429
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-admin-token: s3cret' localhost:3000/; done # 200 200 200 200
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-api-key: ann' localhost:3000/; done        # 200 200 200 429
//! ```

use axum::{Router, routing::get};
use traffik::{EXEMPTED, Identity, Parts, throttle};

fn tiered(req: &Parts) -> Identity {
    // A real service should compare secrets in constant time.
    if req.headers.get("x-admin-token").is_some_and(|token| token == "s3cret") {
        return EXEMPTED;
    }
    match req.headers.get("x-api-key").and_then(|key| key.to_str().ok()) {
        Some(key) => Identity::key(key),
        None => traffik::client_ip(req),
    }
}

#[throttle("tiered", rate = "3/min", identifier = tiered)]
async fn hello() -> &'static str {
    "hello"
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", get(hello));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
