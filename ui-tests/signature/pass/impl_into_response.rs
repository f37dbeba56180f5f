#![deny(warnings)]

use std::convert::Infallible;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, routing::get};
use futures_util::stream::{self, Stream, StreamExt};
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

mod captures {
    // Likewise, though a parameter's `impl Trait` could not repeat the `use<..>`.
    use axum::response::IntoResponse;
    use traffik::throttle;

    #[throttle("i:captures", rate = "20/min")]
    pub(crate) async fn captures() -> (axum::http::StatusCode, impl IntoResponse + use<>) {
        (axum::http::StatusCode::CREATED, "hello")
    }
}

mod of {
    use axum::response::IntoResponse;

    pub(crate) trait Of<T, const N: usize>: IntoResponse {}

    impl<T, const N: usize> Of<T, N> for &'static str {}
}

mod generic {
    use super::of::Of;
    use axum::extract::State;
    use traffik::throttle;

    #[throttle("i:generic", rate = "20/min")]
    pub(crate) async fn generic<T, const N: usize>(_: State<T>) -> Result<impl Of<T, N>, impl Of<T, N> + use<T, N>>
    where
        T: Clone + Send + Sync + 'static,
        [T; N]: Default,
    {
        if N == 0 { Err("none") } else { Ok("some") }
    }
}

#[throttle("i:object", rate = "20/min")]
async fn object() -> Events<Box<dyn Iterator<Item = Result<impl Into<String>, ()>> + Send>> {
    Events(Box::new([Ok("hello")].into_iter()))
}

struct Events<I>(I);

impl<T: Into<String>, I: Iterator<Item = Result<T, ()>>> IntoResponse for Events<I> {
    fn into_response(self) -> Response {
        self.0.flatten().map(Into::into).collect::<String>().into_response()
    }
}

/// As in axum's own example: only the signature says what the error of `Ok` is.
#[throttle("i:events", rate = "20/min")]
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::iter([Event::default().data("hello")]).map(Ok))
}

/// Names generics outside of the `impl Trait`.
#[throttle("i:pair", rate = "20/min")]
async fn pair<'a, T, const N: usize>(
    text: String,
) -> Result<Extension<[T; N]>, Sse<impl Stream<Item = Result<Event, T>> + 'a>>
where
    T: Clone + std::error::Error + Send + Sync + 'static,
{
    Err(Sse::new(stream::iter([Event::default().data(text)]).map(Ok)))
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
        .route("/captures", get(captures::captures))
        .route("/generic", get(generic::generic::<(), 1>))
        .route("/object", get(object))
        .route("/events", get(events))
        .route("/pair", get(pair::<Infallible, 1>))
        .route("/plain", get(plain))
        .route("/nested", get(nested))
        .route("/tuple", get(tuple))
        .route("/response", get(response))
        .route("/boxed", get(boxed));
}
