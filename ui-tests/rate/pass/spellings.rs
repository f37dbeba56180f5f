use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("r:1", rate = "20/min")]
#[throttle("r:2", rate = "10 per 30 seconds")]
#[throttle("r:3", rate = " 1_000 / Day ")]
#[throttle("r:4", rate = r"5/250ms")]
#[throttle("r:5", rate = "unlimited", cost = 1_000_000)]
#[throttle("r:6", rate = "9007199254740991/s", cost = 0x10u64, strategy = "sliding_log")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
