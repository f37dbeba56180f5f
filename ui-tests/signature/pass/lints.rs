//! The expansion is clean where the user's own code has to be.
#![deny(warnings, unused, future_incompatible, nonstandard_style, rust_2018_idioms)]
#![deny(
    let_underscore_drop,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
// What is forbidden can't be allowed again by an expansion.
#![forbid(unsafe_code, dead_code, non_camel_case_types, unreachable_code, elided_lifetimes_in_paths)]

use std::sync::LazyLock;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use traffik::{Throttle, throttle};

static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("uploads").rate("20/min").build().unwrap());

/// One.
///
/// # Errors
///
/// When the body is no number.
#[throttle("l:one", rate = "20/min", cost = 2, identifier = |req| req.uri.path().to_owned())]
#[throttle("l:two", rate = "500/hour", strategy = "gcra", headers = "never", mode = "shadow")]
#[throttle(UPLOADS, cost = 3)]
pub async fn one(State(n): State<u64>, body: String) -> Result<impl IntoResponse, String> {
    let number: u64 = body.parse().map_err(|_| body)?;
    Ok((n + number).to_string())
}

#[throttle("l:three", rate = "20/min")]
async fn three(mut body: String) {
    body.clear();
}

#[deprecated]
fn old_price(_: &traffik::Parts) -> u64 {
    1
}

// What a handler allows or expects holds for the expressions in its attributes.
#[allow(deprecated)]
#[throttle("l:allows", rate = "20/min", cost = old_price)]
async fn allows() {}

#[throttle("l:expects", rate = "20/min", cost = old_price)]
#[expect(deprecated)]
async fn expects(body: String) {
    let _price = (body.len(), old_price);
}

mod inside {
    use traffik::throttle;

    #[throttle("l:inside", rate = "20/min")]
    pub(crate) async fn inside() -> &'static str {
        "hello"
    }
}

fn main() {
    let _router: Router = Router::new()
        .route("/one", get(one))
        .route("/three", get(three))
        .route("/allows", get(allows))
        .route("/expects", get(expects))
        .route("/inside", get(inside::inside))
        .with_state(7);
}
