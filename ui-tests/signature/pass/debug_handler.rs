use axum::extract::State;
use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("d:one", rate = "20/min")]
#[throttle("d:two", rate = "500/hour")]
#[axum::debug_handler]
async fn below(State(n): State<u64>, body: String) -> Result<String, String> {
    let number: u64 = body.parse().map_err(|_| body)?;
    Ok((number + n).to_string())
}

#[throttle("d:between", rate = "20/min")]
#[axum::debug_handler(state = u64)]
#[throttle("d:absorbed", rate = "500/hour")]
async fn between() -> impl axum::response::IntoResponse {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(below)).route("/b", get(between)).with_state(7);
}
