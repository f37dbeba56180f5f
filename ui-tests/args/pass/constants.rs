#![deny(warnings)]

use std::sync::LazyLock;

use axum::{Router, routing::get};
use traffik::{Throttle, throttle};

const EXPORT: u64 = 10;

mod tenants {
    pub const SCOPE: &str = "tenants";
}

static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("constants:uploads").rate("20/min").build().unwrap());

#[throttle("constants:declared", rate = "20/min", cost = const EXPORT, scope = const tenants::SCOPE)]
#[throttle(UPLOADS, cost = const EXPORT / 2, scope = const tenants::SCOPE)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
