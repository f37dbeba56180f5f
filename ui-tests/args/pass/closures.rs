use std::collections::HashMap;

use axum::{Router, routing::get};
use traffik::{Parts, Rate, throttle};

#[throttle(
    "c:plain",
    rate = |_| Rate::per_minute(20),
    cost = |req| if req.method == "GET" { 1u64 } else { 5 },
    identifier = |req| req.headers.get("x-key").and_then(|key| key.to_str().ok()).map(str::to_owned),
    scope = |Parts { uri, .. }| uri.path().to_owned(),
    on_throttled = |req, refused| format!("{} {:?}", req.uri, refused.retry_after()),
    refund_on = |status| status.is_server_error() || status == 404,
)]
#[throttle(
    "c:annotated",
    rate = "20/min",
    cost = |req: &Parts| -> u64 { req.headers.len() as u64 },
    identifier = move |req: &traffik::Parts| {
        let seen: HashMap<u8, u8> = (0..3u8).map(|a| (a, a)).collect::<HashMap<u8, u8>>();
        format!("{}{}", req.uri, seen.len())
    },
)]
#[throttle(
    "c:async",
    rate = async |_req| Rate::per_minute(20),
    cost = async |req| {
        std::future::ready(()).await;
        req.headers.len() as u64
    },
    identifier = async move |req: &Parts| req.uri.path().to_owned(),
)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
