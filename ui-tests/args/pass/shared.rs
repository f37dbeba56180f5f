use std::sync::LazyLock;

use axum::{Router, routing::get};
use traffik::{Parts, Throttle, throttle};

static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("uploads").rate("100/min").build().unwrap());

mod limits {
    use super::*;

    pub static DOWNLOADS: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("downloads").rate("100/min").build().unwrap());
}

#[throttle(UPLOADS)]
async fn plain() -> &'static str {
    "hello"
}

#[throttle(UPLOADS, cost = 3, scope = "export", mode = "shadow", refund_on = "5xx")]
#[throttle(crate::limits::DOWNLOADS, cost = |req| req.headers.len() as u64, crate = ::traffik)]
#[throttle("own", rate = "20/min")]
async fn configured() -> &'static str {
    "hello"
}

#[throttle(self::limits::DOWNLOADS, scope = |req: &Parts| req.uri.to_string(), on_throttled = "continue")]
async fn scoped() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new()
        .route("/", get(plain))
        .route("/c", get(configured))
        .route("/s", get(scoped));
}
