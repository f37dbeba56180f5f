//! What a request costs: a number, something computed from the request, or nothing.
//!
//! Run with `cargo run -p traffik-examples --bin costs`, then
//!
//! ```sh
//! curl -i localhost:3000/export                          # takes 10 of 100: ratelimit: "export";r=90;…
//! curl -i -d 'one two three' localhost:3000/translate    # takes one unit a 5 bytes: r=97
//! curl -i -d '' localhost:3000/translate                 # nothing is still a request, one unit: r=96
//! curl -i -d 'one two three' -H 'transfer-encoding: chunked' localhost:3000/translate
//!                                                        # unannounced: the most that is read, 50 units: r=46
//! curl -i localhost:3000/search                          # the cached answer costs nothing
//! curl -i 'localhost:3000/search?fresh'                  # a fresh one costs 25
//! ```

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use traffik::{Parts, throttle};

/// A bulk export weighs as much as ten plain requests.
#[throttle("export", rate = "100/min", cost = 10)]
async fn export() -> &'static str {
    "a,b,c\n1,2,3\n"
}

/// The most that a translation reads: what a body of unknown length is charged for.
const LONGEST: usize = 250;

/// The cost is known from the head of the request: its body need not be read. Never 0, which is not counted at all.
fn by_length(req: &Parts) -> u64 {
    let length = req.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(LONGEST as u64).div_ceil(5).max(1)
}

#[throttle("translate", rate = "100/min", cost = by_length)]
async fn translate(text: String) -> String {
    text.to_uppercase()
}

/// A cost of 0 passes before anybody asks who the client is.
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
