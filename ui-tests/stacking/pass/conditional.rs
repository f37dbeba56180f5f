use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("c:1", rate = "20/min")]
#[cfg_attr(all(), throttle("c:2", rate = "500/hour"))]
#[cfg_attr(any(), throttle("c:3", rate = "500/hour"))]
async fn handler() -> &'static str {
    "hello"
}

#[cfg_attr(all(), throttle("c:4", rate = "500/hour"))]
async fn alone() -> &'static str {
    "hello"
}

// Conditions are settled before any attribute expands, so that this is one gate, too.
fn assert_gates<A, F: Fn(A) -> Fut, Fut>(_: F) {}

fn main() {
    assert_gates(handler);
    let _: Router = Router::new().route("/", get(handler)).route("/alone", get(alone));
}
