#![deny(warnings)]

use axum::{Router, routing::get};
use traffik::throttle;

/// Documentation above.
#[throttle("a:doc", rate = "20/min")]
/// Documentation below.
#[doc(alias = "other")]
#[must_use]
#[inline]
#[expect(unused_variables)]
pub async fn documented(#[allow(unused_mut)] mut body: String) -> &'static str {
    "hello"
}

#[throttle("a:there", rate = "20/min")]
#[cfg(all())]
async fn conditional() -> &'static str {
    "there"
}

#[cfg(any())]
#[throttle("a:gone:above", rate = "20/min", identifier = not::there)]
async fn conditional() -> &'static str {
    not::there()
}

#[throttle("a:gone:below", rate = "20/min", identifier = not::there)]
#[cfg(any())]
async fn conditional() -> &'static str {
    not::there()
}

#[throttle("a:parameters", rate = "20/min")]
async fn parameters(#[cfg(any())] gone: not::There, #[cfg(all())] body: String) -> String {
    body
}

#[throttle("a:conditional:attribute", rate = "20/min")]
#[cfg_attr(all(), deprecated)]
#[allow(deprecated)]
async fn attribute() -> &'static str {
    "hello"
}

#[allow(deprecated)]
fn main() {
    let _: Router = Router::new()
        .route("/documented", get(documented))
        .route("/conditional", get(conditional))
        .route("/parameters", get(parameters))
        .route("/attribute", get(attribute));
}
