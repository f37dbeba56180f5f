//! What the bounds of a returned `impl Trait` say, the body may leave open.
#![deny(warnings, single_use_lifetimes, unused_lifetimes)]

use std::convert::Infallible;
use std::fmt::Display;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use traffik::throttle;

struct Lines<I>(I);

impl<I, E> IntoResponse for Lines<I>
where
    I: Iterator<Item = Result<String, E>>,
    E: Display,
{
    fn into_response(self) -> Response {
        self.0.map(|line| line.unwrap_or_else(|error| error.to_string())).collect::<String>().into_response()
    }
}

#[throttle("b:plain", rate = "20/min")]
async fn plain() -> Lines<impl Iterator<Item = Result<String, Infallible>>> {
    Lines(["a".to_owned()].into_iter().map(Ok))
}

#[throttle("b:several", rate = "20/min")]
async fn several(
    body: String,
) -> Result<(StatusCode, Lines<impl Iterator<Item = Result<String, Infallible>> + Send>), impl IntoResponse + Send> {
    if body.is_empty() {
        return Err("empty");
    }
    Ok((StatusCode::OK, Lines(std::iter::once(Ok(body)))))
}

trait Store: Clone + Send + Sync + 'static {
    type Error: Display;
}

#[derive(Clone)]
struct Memory;

impl Store for Memory {
    type Error = std::fmt::Error;
}

#[throttle("b:generic", rate = "20/min")]
async fn generic<S, const N: usize>(
    State(_): State<S>,
) -> Lines<impl Iterator<Item = Result<String, S::Error>> + use<S, N>>
where
    S: Store,
{
    Lines(std::iter::repeat_n("a".to_owned(), N).map(Ok))
}

fn main() {
    let _: Router = Router::new()
        .route("/plain", get(plain))
        .route("/several", get(several))
        .route("/generic", get(generic::<Memory, 3>))
        .with_state(Memory);
}
