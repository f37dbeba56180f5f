use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use traffik::{Identity, Parts, Rate, Throttle, Throttled, throttle};

fn path(req: &Parts) -> &str {
    req.uri.path()
}

fn key(req: &Parts) -> Option<&str> {
    req.headers.get("x-key")?.to_str().ok()
}

async fn key_later(req: &Parts) -> Option<&str> {
    std::future::ready(()).await;
    key(req)
}

// In edition 2024 a plain `impl …` borrows from the arguments.
fn client(req: &Parts) -> impl Into<Identity> {
    path(req)
}

async fn client_later(req: &Parts) -> impl Into<Identity> {
    std::future::ready(()).await;
    path(req).to_owned()
}

fn refuse(_req: &Parts, refused: &Throttled) -> impl IntoResponse {
    (StatusCode::SERVICE_UNAVAILABLE, refused.to_string())
}

async fn refuse_later(req: &Parts, _refused: &Throttled) -> impl IntoResponse {
    std::future::ready(()).await;
    (StatusCode::SERVICE_UNAVAILABLE, path(req).to_owned())
}

#[throttle("b:path", rate = "20/min", identifier = path, scope = path)]
#[throttle("b:key", rate = "20/min", identifier = key)]
#[throttle("b:key:later", rate = "20/min", identifier = key_later)]
#[throttle("b:client", rate = "20/min", identifier = client, on_throttled = refuse)]
#[throttle("b:client:later", rate = "20/min", identifier = client_later, on_throttled = refuse_later)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(handler));
    let rate = Rate::per_minute(20);
    Throttle::builder("b:built")
        .rate(rate)
        .identifier(key_later)
        .scope_with(path)
        .on_throttled(refuse)
        .build()
        .unwrap();
}
