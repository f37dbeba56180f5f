//! Request costs: a constant, a value computed from the request, or zero.
//!
//! Run with `cargo run -p traffik-examples --bin costs`, then
//!
//! ```sh
//! curl -i localhost:3000/export                          # takes 10 of 100: ratelimit: "export";r=90;…
//! curl -i -d 'one two three' localhost:3000/translate    # takes one unit per 5 bytes: r=97
//! curl -i -d '' localhost:3000/translate                 # an empty body still costs one unit: r=96
//! curl -i -d 'one two three' -H 'transfer-encoding: chunked' localhost:3000/translate
//!                                                        # no length given: the maximum, 50 units: r=46
//! curl -i localhost:3000/search                          # a cached answer costs nothing
//! curl -i 'localhost:3000/search?fresh'                  # a fresh one costs 25
//! ```

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use traffik::{Parts, throttle};

/// A bulk export costs as much as ten plain requests.
#[throttle("export", rate = "100/min", cost = 10)]
async fn export() -> &'static str {
    "a,b,c\n1,2,3\n"
}

/// The longest body that a translation accepts. A body of unknown length is charged as if it were this long.
const LONGEST: usize = 250;

/// Computes the cost from the request's head, without reading the body. Never returns 0, which would not be counted.
fn by_length(req: &Parts) -> u64 {
    let length = req.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(LONGEST as u64).div_ceil(5).max(1)
}

#[throttle("translate", rate = "100/min", cost = by_length)]
async fn translate(text: String) -> String {
    text.to_uppercase()
}

/// A request with a cost of 0 passes without the client being identified.
#[throttle("search", rate = "100/min", cost = |req| if req.uri.query() == Some("fresh") { 25 } else { 0 })]
async fn search() -> &'static str {
    "found"
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/export", get(export))
        .route("/translate", post(translate).layer(DefaultBodyLimit::max(LONGEST)))
        .route("/search", get(search));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
