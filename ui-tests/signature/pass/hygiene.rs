//! Names of the user's that the expansion could trip over.
#![allow(non_camel_case_types, dead_code)]

use axum::{Router, routing::get};
use traffik::throttle;

mod std {}
mod core {}
mod axum_core {}
struct Option;
struct Some;
struct String;
struct Gate;
struct Response;
struct Stack;
struct Throttle;
type str = u8;

#[throttle("h:types", rate = "20/min", cost = 2, mode = "shadow", scope = "part")]
async fn types() -> &'static [u8] {
    b"hello"
}

#[throttle("h:values", rate = "20/min")]
async fn values(applied: ::axum::http::Method, __traffik_return: ::std::string::String) -> ::std::string::String {
    let gate = applied.to_string();
    __traffik_return + &gate
}

mod constants {
    use std::sync::LazyLock;
    use traffik::{Throttle, throttle};

    // No variable can have the name of a constant.
    #[allow(non_upper_case_globals)]
    const applied: u64 = 2;

    static UPLOADS: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("uploads").rate("20/min").build().unwrap());

    #[throttle(UPLOADS, cost = |_| applied)]
    pub(crate) async fn constants() {}
}

fn main() {
    let _: Router = Router::new()
        .route("/types", get(types))
        .route("/values", get(values))
        .route("/constants", get(constants::constants));
}
