//! A report in several steps, charged for when it is done: a failure costs nothing.
//!
//! Run with `cargo run -p traffik-examples --bin report`, then
//!
//! ```sh
//! curl localhost:3000/report/sales       # sales: 42, 2 queries, 1 chart
//! curl -i localhost:3000/report/broken   # 500: a query failed, and nothing is charged
//! curl localhost:3000/left               # queries: 2 of 4 used, charts: 1 of 10 used
//! curl localhost:3000/report/sales
//! curl -i localhost:3000/report/sales    # 429: no queries are left, and none is run
//! ```

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use traffik::{BoxError, Parts, QuotaContext, QuotaError, Throttle};

static QUERIES: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("queries").rate("4/hour").build().expect("a valid throttle"));
static CHARTS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("charts").rate("10/hour").build().expect("a valid throttle"));

fn query(quota: &QuotaContext<'_>, table: &str) -> Result<u64, BoxError> {
    quota.add(&QUERIES, 1);
    if table == "broken" { Err("no such table".into()) } else { Ok(42) }
}

async fn report(parts: Parts, Path(table): Path<String>) -> Result<String, QuotaError> {
    let quota = QuotaContext::new(&parts);
    quota
        .run(async |quota| {
            quota.add(&QUERIES, 1);
            quota.add(&CHARTS, 1);
            // Don't start work that can't be paid for.
            quota.check().await?.into_result()?;
            let total = query(&quota, &table)?;
            Ok(format!("{table}: {total}, 2 queries, 1 chart\n"))
        })
        .await
}

async fn left(parts: Parts) -> Result<String, traffik::Error> {
    let mut lines = String::new();
    for throttle in [&*QUERIES, &*CHARTS] {
        if let Some(stat) = throttle.stat(&parts).await? {
            lines += &format!("{}: {} of {} used\n", stat.uid, stat.used, stat.limit);
        }
    }
    Ok(lines)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/report/{table}", get(report)).route("/left", get(left));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
