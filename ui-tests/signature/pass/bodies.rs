#![deny(warnings)]

use axum::extract::{Path, Query};
use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("b:unit", rate = "20/min")]
async fn unit() {}

#[throttle("b:statement", rate = "20/min")]
async fn statement(body: String) {
    drop(body);
}

#[throttle("b:return", rate = "20/min")]
async fn returns(body: String) {
    if body.is_empty() {
        return;
    }
    drop(body)
}

#[throttle("b:diverges", rate = "20/min")]
async fn diverges() -> String {
    panic!("on purpose")
}

#[throttle("b:coerces", rate = "20/min")]
async fn coerces(body: String) -> Result<String, Failed> {
    if body.is_empty() {
        return Err(Failed(Box::new(std::fmt::Error)));
    }
    let answer: fn(&str) -> _ = match body.len() {
        1 => |text| Ok(text.to_uppercase()),
        _ => |text| Ok(text.to_lowercase()),
    };
    answer(&body)
}

struct Failed(Box<dyn std::error::Error + Send>);

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        self.0.to_string().into_response()
    }
}

#[throttle("b:patterns", rate = "20/min")]
async fn patterns(
    Path([a, b]): Path<[u64; 2]>,
    mut path: Path<u64>,
    Query(mut list): Query<Vec<(String, String)>>,
    _: axum::http::Method,
    ref_body @ _: String,
) -> String {
    path.0 += a + b;
    list.clear();
    format!("{}{}{ref_body}", path.0, list.len())
}

#[throttle("b:first", rate = "20/min")]
async fn begins_with_an_operator(mut x: Path<i64>) -> String {
    *x = -1;
    (*x).to_string()
}

#[throttle("b:inner", rate = "20/min")]
async fn inner_attributes() -> &'static str {
    #![allow(unused_variables)]
    //! Documentation from inside.
    let unused = 1;
    "hello"
}

fn main() {
    let _: Router = Router::new()
        .route("/unit", get(unit))
        .route("/statement", get(statement))
        .route("/returns", get(returns))
        .route("/diverges", get(diverges))
        .route("/coerces", get(coerces))
        .route("/patterns", get(patterns))
        .route("/operator", get(begins_with_an_operator))
        .route("/inner", get(inner_attributes));
}
