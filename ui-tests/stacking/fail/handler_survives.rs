use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("burst", rate = "20/min")]
#[throttle("sustained", rate = "500/hours", cost = -1)]
#[deprecated]
async fn handler() -> &'static str {
    "hello"
}

#[deny(deprecated)]
fn routes() -> Router {
    Router::new().route("/", get(handler))
}

fn main() {
    routes();
}
