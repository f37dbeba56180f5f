use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("w:1", rate = "9/s", on_error = "allow", headers = "throttled", mode = "shadow")]
#[throttle("w:2", rate = "9/s", on_error = "raise", headers = "never", refund_on = "error", on_cancel = "keep")]
#[throttle("w:3", rate = "9/s", on_error = "throttle", headers = "always", refund_on = "5xx")]
#[throttle("w:4", rate = "9/s", dynamic_backend, on_throttled = "continue", mode = "enforce")]
#[throttle("w:5", rate = "9/s", dynamic_backend = true)]
#[throttle("w:6", rate = "9/s", dynamic_backend = false, cost = 0)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
