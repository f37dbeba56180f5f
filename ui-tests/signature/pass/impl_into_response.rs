#![deny(warnings)]

use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use traffik::throttle;

mod answers {
    // Imported for nothing but the handler's signature.
    use axum::response::IntoResponse;
    use traffik::throttle;

    #[throttle("i:only", rate = "20/min")]
    pub(crate) async fn only() -> impl IntoResponse {
        "hello"
    }
}

#[throttle("i:plain", rate = "20/min")]
async fn plain() -> impl IntoResponse + Send {
    ([("x-one", "1")], "hello")
}

#[throttle("i:nested", rate = "20/min")]
async fn nested(fails: String) -> Result<impl IntoResponse, impl IntoResponse + use<>> {
    if fails.is_empty() { Err((axum::http::StatusCode::BAD_REQUEST, "empty")) } else { Ok(fails) }
}

#[throttle("i:tuple", rate = "20/min")]
async fn tuple() -> (axum::http::StatusCode, impl IntoResponse) {
    (axum::http::StatusCode::CREATED, "hello")
}

#[throttle("i:response", rate = "20/min")]
async fn response() -> Response {
    "hello".into_response()
}

#[throttle("i:boxed", rate = "20/min")]
async fn boxed() -> Box<str> {
    "hello".into()
}

fn main() {
    let _: Router = Router::new()
        .route("/only", get(answers::only))
        .route("/plain", get(plain))
        .route("/nested", get(nested))
        .route("/tuple", get(tuple))
        .route("/response", get(response))
        .route("/boxed", get(boxed));
}
