use axum::{Router, routing::get};
use traffik::{Rate, throttle};

const BURST: Rate = Rate::per_second(20);

mod tiers {
    pub const HOURLY: super::Rate = super::Rate::per_hour(500);
}

#[throttle("k:burst", rate = const BURST)]
#[throttle("k:hourly", rate = const crate::tiers::HOURLY, cost = 3)]
#[throttle("k:day", rate = const Rate::UNLIMITED)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
