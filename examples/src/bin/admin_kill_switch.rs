//! Inspects, disables and changes limits while the service is running.
//!
//! Run with `cargo run -p traffik-examples --bin admin_kill_switch`, then
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/orders; done
//! # 200 200 429
//! curl -s -X POST localhost:3000/admin/limits/orders/disable
//! # off
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/orders; done
//! # 200 200 200
//! curl -s -X POST localhost:3000/admin/limits/orders/enable; curl -s -X PUT localhost:3000/admin/limits/orders/rate -d '5/min'
//! # on
//! # 5/min
//! curl -s localhost:3000/admin/limits
//! # orders: 5/min, fixed_window, on
//! curl -s -X PUT localhost:3000/admin/limits/orders/rate -d '5/mins'
//! # 400, with what is wrong and how to fix it
//! ```
//!
//! A real service restricts access to `/admin`.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::routing::{get, post, put};
use axum::{Router, http::StatusCode};
use tokio::net::TcpListener;
use traffik::{Registry, Throttle, ThrottleLayer};

static ORDERS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("orders").rate("2/min").build().expect("a valid throttle"));

async fn list() -> String {
    Registry::global().iter().map(|throttle| line(&throttle)).collect()
}

fn line(throttle: &Throttle) -> String {
    let rate = throttle.rate().map_or_else(|| "a rate of each request's own".into(), |rate| rate.to_string());
    let switch = if throttle.is_enabled() { "on" } else { "off" };
    format!("{}: {rate}, {}, {switch}\n", throttle.uid(), throttle.strategy().name())
}

async fn disable(Path(uid): Path<String>) -> Result<&'static str, StatusCode> {
    Registry::global().disable(&uid).then_some("off\n").ok_or(StatusCode::NOT_FOUND)
}

async fn enable(Path(uid): Path<String>) -> Result<&'static str, StatusCode> {
    Registry::global().enable(&uid).then_some("on\n").ok_or(StatusCode::NOT_FOUND)
}

async fn set_rate(Path(uid): Path<String>, rate: String) -> Result<String, (StatusCode, String)> {
    let unknown = || (StatusCode::NOT_FOUND, format!("no throttle is called {uid:?}\n"));
    let throttle = Registry::global().get(&uid).ok_or_else(unknown)?;
    match throttle.set_rate(rate.as_str()) {
        Ok(()) => Ok(format!("{rate}\n")),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("{error}\n"))),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    let admin = Router::new()
        .route("/limits", get(list))
        .route("/limits/{uid}/disable", post(disable))
        .route("/limits/{uid}/enable", post(enable))
        .route("/limits/{uid}/rate", put(set_rate));
    // The layer initializes the throttle, so that the registry knows it from the start.
    let app = Router::new()
        .route("/orders", get(async || "none yet\n"))
        .layer(ThrottleLayer::new([&*ORDERS]))
        .nest("/admin", admin);
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
