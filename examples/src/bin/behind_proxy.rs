//! Identifies clients behind a reverse proxy by the address that a trusted proxy reports.
//!
//! Run with `cargo run -p traffik-examples --bin behind_proxy`, then act as the proxy:
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' -H 'X-Forwarded-For: 203.0.113.9' localhost:3000; done
//! # 200 200 429: two a minute for this client
//! curl -s -o /dev/null -w '%{http_code}\n' -H 'X-Forwarded-For: 203.0.113.8' localhost:3000
//! # 200: another client
//! curl -s -o /dev/null -w '%{http_code}\n' -H 'X-Forwarded-For: 198.51.100.1, 203.0.113.9' localhost:3000
//! # 429: whatever a client writes in front of what the proxy appends makes no difference
//! ```

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use traffik::{ClientIp, ForwardedHeader, Traffik, throttle};

#[throttle("proxy:pages", rate = "2/min")]
async fn page() -> &'static str {
    "hello\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    // The networks of your proxies, as narrow as possible. Here the proxy is this machine.
    let proxies = ClientIp::behind(["127.0.0.0/8", "::1"]).header(ForwardedHeader::XForwardedFor);
    // A malformed network is an error here, at startup.
    traffik::install(Traffik::builder().client_ip(proxies).build())?;
    let app = Router::new().route("/", get(page));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(traffik::axum::serve(listener, app).await?)
}
