use axum::http::StatusCode;
use traffik::throttle;

#[throttle("api:burst", rate = "20/min", refund_on = StatusCode::is_server_error)]
async fn handler() {}

fn main() {}
