use axum::http::StatusCode;
use axum::{Router, routing::get};
use traffik::{MemoryBackend, Parts, Throttled, throttle};

fn client(req: &Parts) -> String {
    req.uri.path().to_owned()
}

async fn refuse(_req: &Parts, _refused: &Throttled) -> (StatusCode, &'static str) {
    (StatusCode::TOO_MANY_REQUESTS, "later")
}

#[throttle(
    "every:key",
    rate = "20/min",
    cost = 10,
    identifier = client,
    strategy = "fixed_window",
    backend = MemoryBackend::new(),
    scope = "part",
    on_error = "throttle",
    on_throttled = refuse,
    headers = "always",
    mode = "enforce",
    refund_on = "5xx",
    on_cancel = "refund",
    crate = ::traffik,
)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
