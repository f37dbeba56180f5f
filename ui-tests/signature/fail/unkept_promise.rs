use axum::response::IntoResponse;
use traffik::throttle;

#[throttle("unkept", rate = "20/min")]
async fn handler() -> impl IntoResponse + Iterator {
    "hello"
}

fn main() {}
