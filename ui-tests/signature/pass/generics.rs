use std::fmt::Display;
use std::marker::PhantomData;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use traffik::throttle;

trait Store: Clone + Send + Sync + 'static {
    type Error: Display;
    fn load(&self) -> Result<String, Self::Error>;
}

#[derive(Clone)]
struct Memory;

impl Store for Memory {
    type Error = std::fmt::Error;
    fn load(&self) -> Result<String, Self::Error> {
        Ok("hello".to_owned())
    }
}

struct Failed<E>(E);

impl<E: Display> IntoResponse for Failed<E> {
    fn into_response(self) -> axum::response::Response {
        self.0.to_string().into_response()
    }
}

#[throttle("g:store", rate = "20/min")]
async fn load<S: Store>(State(store): State<S>) -> Result<String, Failed<S::Error>> {
    let text = store.load().map_err(Failed)?;
    Ok(text)
}

#[throttle("g:where", rate = "20/min")]
async fn bounded<S, const N: usize>(State(store): State<S>) -> Result<impl IntoResponse, Failed<S::Error>>
where
    S: Store,
    PhantomData<[u8; N]>: Send,
{
    store.load().map(|text| ([("x-size", N.to_string())], text)).map_err(Failed)
}

fn main() {
    let _: Router = Router::new()
        .route("/", get(load::<Memory>))
        .route("/bounded", get(bounded::<Memory, 3>))
        .with_state(Memory);
}
