//! Expansions pass the strictest lints that users may enable, as judged by `cargo clippy`.
#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery, clippy::unwrap_used)]
#![deny(clippy::absolute_paths, clippy::exhaustive_structs, clippy::missing_docs_in_private_items)]
#![deny(clippy::shadow_reuse, clippy::shadow_same, clippy::shadow_unrelated)]
// An expansion cannot allow again what is forbidden here.
#![forbid(unsafe_code, clippy::allow_attributes, clippy::let_underscore_must_use)]

use std::future::ready;
use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, Version};
use axum::response::{Html, IntoResponse};
use axum::{Extension, Router, routing::get};
use traffik::strategy::TokenBucket;
use traffik::{Throttle, throttle, throttle as limit};

/// Shared by two handlers.
static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("uploads").rate("20/min").build().expect("a valid throttle"));

/// Covers the arguments, a shared throttle, and the attribute under another name.
///
/// # Errors
///
/// Returns an error if the body is not a number.
#[throttle(
    "lints:declared",
    rate = "20/min",
    cost = async |req| req.uri.path().len() as u64,
    identifier = |req| req.uri.path().to_owned(),
    strategy = TokenBucket::new().burst(50),
    scope = "part",
    on_error = "allow",
    on_throttled = |req, _refused| req.uri.to_string(),
    headers = "never",
    mode = "shadow",
    refund_on = |status| status.is_server_error(),
)]
#[throttle(UPLOADS, cost = 3)]
#[limit("lints:second", rate = "20/min", strategy = "gcra")]
pub async fn one(State(n): State<u64>, body: String) -> Result<impl IntoResponse, String> {
    let number: u64 = body.parse().map_err(|_| body)?;
    Ok((n + number).to_string())
}

/// Returns nothing.
#[throttle("lints:unit", rate = "20/min")]
async fn unit(mut body: String) {
    body.clear();
    drop(body);
}

/// No longer charged.
#[deprecated(note = "an expectation of its use is what is tested here")]
const fn old_price(_: &traffik::Parts) -> u64 {
    1
}

/// Carries an `#[expect]` that its attribute also fulfills.
#[expect(deprecated, reason = "see there")]
#[throttle("lints:expects", rate = "20/min", cost = old_price)]
async fn expects() -> String {
    size_of_val(&old_price).to_string()
}

/// Does nothing.
#[throttle(UPLOADS)]
async fn empty() {}

/// Takes as many parameters as clippy allows, plus a gate.
#[throttle("lints:seven", rate = "20/min")]
async fn seven(
    method: Method,
    _: Version,
    uri: Uri,
    _: HeaderMap,
    State(n): State<u64>,
    Extension(text): Extension<&'static str>,
    body: String,
) -> String {
    format!("{method} {uri} {n} {text} {body}")
}

/// Waits, and may return early.
#[throttle("lints:early", rate = "20/min")]
async fn early(body: String) -> &'static str {
    if body.is_empty() {
        return "early";
    }
    ready(()).await;
    "late"
}

/// Begins with items, which may not stand behind a statement.
#[throttle("lints:items", rate = "20/min")]
async fn items() -> String {
    use std::fmt::Write;
    /// How often.
    const COUNT: usize = 3;
    ready(()).await;
    let mut text = String::new();
    write!(text, "{COUNT}").expect("a string takes it");
    text
}

/// Begins with a function that is async as well.
#[throttle("lints:functions", rate = "20/min")]
async fn functions() -> String {
    async fn slow() -> String {
        ready(String::new()).await
    }
    slow().await
}

/// Begins with a function that has a visibility.
#[throttle("lints:public", rate = "20/min")]
async fn public() -> String {
    pub(crate) const fn empty() -> String {
        String::new()
    }
    ready(empty()).await
}

/// Begins with an expression that only look like items.
#[throttle("lints:future", rate = "20/min")]
async fn future() -> String {
    async { String::new() }.await
}

/// Begins with an expression that only looks like an item.
#[throttle("lints:constant", rate = "20/min")]
async fn constant() -> String {
    const { String::new() }
}

/// Names its generics in what it returns.
#[throttle("lints:generic", rate = "20/min")]
async fn generic<T>(Extension(text): Extension<T>) -> impl IntoResponse + From<T> + use<T>
where
    T: IntoResponse + Clone + Send + Sync + 'static,
{
    ready(()).await;
    Html(text)
}

#[test]
fn handlers_are_handlers() {
    let _router: Router = Router::new()
        .route("/one", get(one))
        .route("/unit", get(unit))
        .route("/empty", get(empty))
        .route("/expects", get(expects))
        .route("/seven", get(seven))
        .route("/early", get(early))
        .route("/items", get(items))
        .route("/constant", get(constant))
        .route("/functions", get(functions))
        .route("/public", get(public))
        .route("/future", get(future))
        .route("/generic", get(generic::<&'static str>))
        .with_state(7);
}
