use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Extension, Form, Json, Path, Query, RawQuery, Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::{Router, routing::get};
use traffik::{Parts, throttle};

#[derive(Clone)]
struct App(u64);

#[throttle("e:parts", rate = "20/min")]
async fn of_parts(
    State(App(state)): State<App>,
    Path((id, name)): Path<(u64, String)>,
    Query(query): Query<HashMap<String, String>>,
    RawQuery(raw): RawQuery,
    Extension(extension): Extension<u8>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    parts: Parts,
) -> String {
    format!("{state}{id}{name}{query:?}{raw:?}{extension}{method}{uri}{headers:?}{parts:?}")
}

#[throttle("e:optional", rate = "20/min")]
async fn optional(id: Option<Path<u64>>, rest: Result<Query<u64>, axum::extract::rejection::QueryRejection>) {
    drop((id, rest));
}

#[throttle("e:json", rate = "20/min")]
async fn json(State(App(n)): State<App>, Json(body): Json<Vec<u64>>) -> Json<u64> {
    Json(body.into_iter().sum::<u64>() + n)
}

#[throttle("e:form", rate = "20/min")]
async fn form(Form(body): Form<HashMap<String, String>>) -> String {
    format!("{body:?}")
}

#[throttle("e:bytes", rate = "20/min")]
async fn bytes(headers: HeaderMap, body: Bytes) -> String {
    format!("{}{}", headers.len(), body.len())
}

#[throttle("e:text", rate = "20/min")]
async fn text(body: String) -> String {
    body
}

#[throttle("e:request", rate = "20/min")]
async fn request(request: Request) -> String {
    request.uri().to_string()
}

fn main() {
    let _: Router = Router::new()
        .route("/parts/{id}/{name}", get(of_parts))
        .route("/optional", get(optional))
        .route("/json", get(json))
        .route("/form", get(form))
        .route("/bytes", get(bytes))
        .route("/text", get(text))
        .route("/request", get(request))
        .with_state(App(7));
}
