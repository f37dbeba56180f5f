//! `#[throttle]` next to attributes that are often used with it, in the orders that the documentation of
//! `traffik::axum` promises to support.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum_extra::handler::HandlerCallWithExtractors;
use axum_extra::routing::TypedPath;
use serde::Deserialize;
use traffik::throttle;
use utoipa::OpenApi;

use crate::support::{Client, app};

#[throttle("neighbours:instrument_below", rate = "1/min")]
#[tracing::instrument]
async fn instrument_below(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[tracing::instrument(skip_all)]
#[throttle("neighbours:instrument_above", rate = "1/min")]
async fn instrument_above(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[tracing::instrument(err, ret)]
#[throttle("neighbours:instrument_err", rate = "1/min")]
async fn instrument_err(Path(id): Path<u32>) -> Result<String, String> {
    Ok(id.to_string())
}

#[throttle("neighbours:debug_handler", rate = "1/min")]
#[axum::debug_handler]
async fn debug_handler(State(()): State<()>, Path(id): Path<u32>) -> String {
    id.to_string()
}

/// Returns the ID.
#[utoipa::path(get, path = "/openapi_above/{id}", params(("id" = u32, Path,)), responses((status = 200)))]
#[throttle("neighbours:openapi_above", rate = "1/min")]
async fn openapi_above(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[throttle("neighbours:openapi_below", rate = "1/min")]
#[utoipa::path(get, path = "/openapi_below/{id}", params(("id" = u32, Path,)), responses((status = 200)))]
async fn openapi_below(Path(id): Path<u32>) -> impl IntoResponse {
    id.to_string()
}

/// With `typed_get`, a typed path must be the handler's first argument, but that place is taken by the gate.
/// With `route`, it may be anywhere.
#[derive(Deserialize, TypedPath)]
#[typed_path("/typed/{id}")]
struct Typed {
    id: u32,
}

#[throttle("neighbours:typed", rate = "1/min")]
async fn typed(Typed { id }: Typed) -> String {
    id.to_string()
}

#[tokio::test]
async fn each_is_throttled_and_works() {
    let app = Router::new()
        .route("/instrument_below/{id}", get(instrument_below))
        .route("/instrument_above/{id}", get(instrument_above))
        .route("/instrument_err/{id}", get(instrument_err))
        .route("/debug_handler/{id}", get(debug_handler))
        .route("/openapi_above/{id}", get(openapi_above))
        .route("/openapi_below/{id}", get(openapi_below))
        .route(Typed::PATH, get(typed))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    for name in [
        "instrument_below",
        "instrument_above",
        "instrument_err",
        "debug_handler",
        "openapi_above",
        "openapi_below",
        "typed",
    ] {
        let path = format!("/{name}/7");
        let reply = client.get(&path).await;
        assert_eq!((reply.status, &*reply.body), (200, "7"), "{name}");
        assert_eq!(client.get(&path).await.status, 429, "{name}");
    }
}

#[throttle("neighbours:left", rate = "1/min")]
async fn left(Path(id): Path<u32>) -> String {
    format!("left {id}")
}

#[throttle("neighbours:right", rate = "1/min")]
async fn right() -> &'static str {
    "right"
}

#[tokio::test]
async fn a_refusal_on_the_left_of_or_leads_to_its_right() {
    let app = Router::new().route("/or/{id}", get(left.or(right))).layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/or/7").await.body, "left 7");
    assert_eq!(client.get("/or/7").await.body, "right");
    assert_eq!(client.get("/or/7").await.status, 429);
}

#[test]
fn the_gate_shows_in_no_schema() {
    #[derive(OpenApi)]
    #[openapi(paths(openapi_above, openapi_below))]
    struct Api;
    let api = serde_json::to_value(Api::openapi()).unwrap();
    for name in ["openapi_above", "openapi_below"] {
        let operation = &api["paths"][format!("/{name}/{{id}}")]["get"];
        assert_eq!(operation["operationId"], name);
        assert_eq!(operation["parameters"].as_array().unwrap().len(), 1);
        assert!(operation.get("requestBody").is_none());
    }
    let text = api.to_string();
    assert!(!text.contains("Gate") && !text.contains("__traffik"), "{text}");
}

#[cfg(feature = "aide")]
#[test]
fn nor_in_aides() {
    // An input adds to an operation through its methods, and this implementation overrides none.
    fn adds_nothing<T: aide::OperationInput>() {}
    adds_nothing::<traffik::Gate<()>>();
}
