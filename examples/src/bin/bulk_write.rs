//! Writes many rows at once: reserves units for all of them, and charges only for those that were written.
//!
//! Run with `cargo run -p traffik-examples --bin bulk_write`, then
//!
//! ```sh
//! JSON='content-type: application/json'
//! curl -H "$JSON" -d '["ann", "", "bob"]' localhost:3000/rows              # wrote 2 of 3 rows: "" is invalid
//! curl localhost:3000/left                                                 # 2 of 5 rows used
//! curl -i -H "$JSON" -d '["a", "b", "c", "d"]' localhost:3000/rows         # 429: nothing is written
//! curl -H "$JSON" -d '["a", "b", "c"]' localhost:3000/rows                 # wrote 3 of 3 rows
//! ```

use std::sync::LazyLock;

use axum::routing::{get, post};
use axum::{Json, Router};
use traffik::{Parts, ReserveError, Throttle};

static ROWS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("rows").rate("5/hour").build().expect("a valid throttle"));

/// A database that rejects empty names.
fn write(name: &str) -> bool {
    !name.is_empty()
}

/// The number of rows is known only from the body, so the handler makes the reservation. A refusal is a response.
async fn insert(parts: Parts, Json(names): Json<Vec<String>>) -> Result<String, ReserveError> {
    // A request costs at least 1, because a cost of 0 is not counted.
    let reservation = ROWS.reserve(&parts).cost(names.len().max(1) as u64).await?;
    let written = names.iter().filter(|name| write(name)).count();
    // The rows are written, even if the rest of the reservation could not be given back.
    reservation.settle(written.max(1) as u64).await.ok();
    Ok(format!("wrote {written} of {} rows\n", names.len()))
}

async fn left(parts: Parts) -> Result<String, traffik::Error> {
    let stat = ROWS.stat(&parts).await?;
    Ok(stat.map_or_else(String::new, |stat| format!("{} of {} rows used\n", stat.used, stat.limit)))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/rows", post(insert)).route("/left", get(left));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
