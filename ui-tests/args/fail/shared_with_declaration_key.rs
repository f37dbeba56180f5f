use std::sync::LazyLock;

use traffik::{Throttle, throttle};

static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("uploads").rate("20/min").build().unwrap());

#[throttle(UPLOADS, rate = "20/min", cost = 2)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
