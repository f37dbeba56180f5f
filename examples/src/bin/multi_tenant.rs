//! One throttle, three tenants, three places to count: two Redis namespaces and this process.
//!
//! Run with `cargo run -p traffik-examples --bin multi_tenant`, or with
//! `REDIS_URL=redis://127.0.0.1:6379` in front to count the paying tenants on a Redis, then
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-tenant: enterprise' localhost:3000/quota; done  # 200 200 429
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-tenant: premium' localhost:3000/quota; done     # 200 200 429
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/quota; done                            # 200 200 429
//! ```

use axum::{Router, routing::get};
use traffik::{BackendLayer, MemoryBackend, Parts, RedisBackend, SharedBackend, throttle};

#[throttle("api:quota", rate = "2/min", dynamic_backend)]
async fn quota() -> &'static str {
    "ok"
}

/// A namespace of the Redis there is, or a store of its own in memory.
async fn tenant(namespace: &str) -> Result<SharedBackend, traffik::Error> {
    match std::env::var("REDIS_URL") {
        Ok(url) => Ok(RedisBackend::builder(url.as_str()).namespace(namespace).connect().await?.into()),
        Err(_) => Ok(MemoryBackend::new().into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (enterprise, premium) = (tenant("enterprise").await?, tenant("premium").await?);
    let free = SharedBackend::from(MemoryBackend::new());

    let tenants = BackendLayer::resolve(move |req: &Parts| {
        let tenant = req.headers.get("x-tenant").and_then(|tenant| tenant.to_str().ok());
        Some(match tenant {
            Some("enterprise") => enterprise.clone(),
            Some("premium") => premium.clone(),
            _ => free.clone(),
        })
    });
    let app = Router::new().route("/quota", get(quota)).layer(tenants);
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(traffik::axum::serve(listener, app).await?)
}
