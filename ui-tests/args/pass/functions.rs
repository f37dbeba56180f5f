use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use traffik::{EXEMPTED, Identity, Parts, Rate, SharedBackend, Throttled, throttle};

mod rules {
    use super::*;

    pub fn client(req: &Parts) -> Identity {
        if req.headers.contains_key("x-admin") { EXEMPTED } else { Identity::key("all") }
    }

    pub async fn client_later(req: &Parts) -> Option<String> {
        std::future::ready(()).await;
        req.headers.get("x-key").and_then(|key| key.to_str().ok()).map(str::to_owned)
    }

    pub fn client_of<T: Default + ToString, U>(_req: &Parts) -> String {
        T::default().to_string()
    }
}

fn rate(_req: &Parts) -> Rate {
    Rate::per_minute(20)
}

async fn rate_later(_req: &Parts) -> Rate {
    Rate::UNLIMITED
}

fn cost(req: &Parts) -> u64 {
    req.headers.len() as u64
}

async fn cost_later(_req: &Parts) -> u64 {
    3
}

fn scope(req: &Parts) -> String {
    req.method.to_string()
}

fn backend(_req: &Parts) -> Option<SharedBackend> {
    None
}

fn refuse(_req: &Parts, _refused: &Throttled) -> impl IntoResponse + use<> {
    StatusCode::SERVICE_UNAVAILABLE
}

fn refunded(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND
}

#[throttle("f:sync", rate = rate, cost = cost, identifier = rules::client, scope = scope)]
#[throttle("f:async", rate = rate_later, cost = cost_later, identifier = self::rules::client_later)]
#[throttle("f:generic", rate = "20/min", identifier = rules::client_of::<u64, Vec<(u8, u8)>>, cost = 2)]
#[throttle("f:answer", rate = "20/min", on_throttled = refuse, refund_on = refunded)]
#[throttle("f:backend", rate = "20/min", dynamic_backend = backend)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
}
