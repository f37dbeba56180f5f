use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("s:1", rate = "20/min")]
/// Between.
#[traffik::throttle("s:2", rate = "500/hour")]
#[allow(unused)]
#[::traffik::throttle("s:3", rate = "5000/day")]
async fn handler(body: String) -> String {
    body
}

// One gate for three attributes.
fn assert_gates<A, B, F: Fn(A, B) -> Fut, Fut>(_: F) {}

fn main() {
    assert_gates(handler);
    let _: Router = Router::new().route("/", get(handler));
}
