use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use traffik::throttle;

/// Takes any error, as `anyhow::Error` does.
struct AnyError(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for AnyError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for AnyError {
    fn into_response(self) -> Response {
        self.0.to_string().into_response()
    }
}

type Answer<T> = Result<T, AnyError>;

#[throttle("q:any", rate = "20/min")]
async fn any(body: String) -> Answer<String> {
    let number: u64 = body.parse()?;
    let text = String::from_utf8(vec![number as u8])?;
    Ok(text)
}

#[throttle("q:unit", rate = "20/min")]
async fn unit(body: String) -> Result<(), AnyError> {
    let _: u64 = body.parse()?;
    Ok(())
}

#[throttle("q:into", rate = "20/min")]
async fn into() -> Result<String, AnyError> {
    Err("words become errors")?
}

#[throttle("q:early", rate = "20/min")]
async fn early(body: String) -> Result<String, &'static str> {
    if body.is_empty() {
        return Err("empty");
    }
    for word in body.split(' ') {
        if word.len() > 3 {
            return Ok(word.into());
        }
    }
    Ok(body)
}

fn main() {
    let _: Router = Router::new()
        .route("/any", get(any))
        .route("/unit", get(unit))
        .route("/into", get(into))
        .route("/early", get(early));
}
