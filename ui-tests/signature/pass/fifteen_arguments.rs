use axum::http::HeaderMap;
use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("fifteen", rate = "20/min")]
#[throttle("fifteen:2", rate = "500/hour")]
async fn handler(
    _01: HeaderMap,
    _02: HeaderMap,
    _03: HeaderMap,
    _04: HeaderMap,
    _05: HeaderMap,
    _06: HeaderMap,
    _07: HeaderMap,
    _08: HeaderMap,
    _09: HeaderMap,
    _10: HeaderMap,
    _11: HeaderMap,
    _12: HeaderMap,
    _13: HeaderMap,
    _14: HeaderMap,
    body: String,
) -> String {
    body
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
