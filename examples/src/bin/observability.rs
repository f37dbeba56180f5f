//! What operators see: counters by throttle and outcome for Prometheus, and a log line for each refusal.
//!
//! Run with `RUST_LOG=traffik=debug cargo run -p traffik-examples --bin observability`, then
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/orders; done
//! # 200 200 429, and in the log: DEBUG traffik: over the limit uid="orders" outcome="denied" cost=1 …
//! curl -s localhost:3000/metrics | grep ^traffik_hits
//! # traffik_hits_total{uid="orders",backend="memory",outcome="allowed"} 2
//! # traffik_hits_total{uid="orders",backend="memory",outcome="denied"} 1
//! curl -s -o /dev/null localhost:3000/reports; curl -s localhost:3000/metrics | grep 'uid="reports"'
//! # outcome="shadowed" from the second request on: these would be refused if the limit were enforced
//! ```

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use traffik::throttle;

#[throttle("orders", rate = "2/min")]
async fn orders() -> &'static str {
    "none yet\n"
}

/// A limit that is being tried out in shadow mode: it counts, but refuses nobody.
#[throttle("reports", rate = "1/min", mode = "shadow")]
async fn reports() -> &'static str {
    "all is well\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    traffik::metrics::describe();
    // A real service restricts access to `/metrics`.
    let app = Router::new()
        .route("/orders", get(orders))
        .route("/reports", get(reports))
        .route("/metrics", get(async move || prometheus.render()));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(traffik::axum::serve(listener, app).await?)
}
