use axum::extract::State;
use axum::{Router, routing::get};
use traffik::{throttle, throttle as limit};

#[throttle("n:1", rate = "20/min")]
#[limit("n:2", rate = "500/hour")]
#[throttle("n:3", rate = "20/min")]
#[limit("n:4", rate = "500/hour")]
async fn two(State(n): State<u64>, body: String) -> Result<String, String> {
    let number: u64 = body.parse().map_err(|_| body)?;
    Ok((n + number).to_string())
}

mod named {
    pub use traffik::throttle as guard;
}

#[limit("n:5", rate = "20/min")]
#[throttle("n:6", rate = "500/hour")]
#[named::guard("n:7", rate = "20/min")]
async fn second() -> impl axum::response::IntoResponse {
    "hello"
}

// The outermost takes the one that it knows by its name; the other widens the gate.
fn assert_gates<A, F: Fn(A) -> Fut, Fut>(_: F) {}

fn main() {
    assert_gates(second);
    let _: Router = Router::new().route("/", get(two)).route("/second", get(second)).with_state(7);
}
