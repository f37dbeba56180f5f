pub extern crate traffik as limits;
// An expansion that named the crate by its own name could not compile.
extern crate core as traffik;

use axum::{Router, routing::get};

mod kit {
    pub mod inside {
        pub use ::limits as traffic;
    }
}

#[limits::throttle("renamed", rate = "20/min", crate = ::limits, cost = |req| req.headers.len() as u64)]
#[limits::throttle("renamed:2", rate = "500/hour", strategy = "gcra")]
async fn renamed() -> &'static str {
    "hello"
}

#[kit::inside::traffic::throttle("again", rate = "20/min", crate = crate::kit::inside::traffic)]
#[kit::inside::traffic::throttle("again:2", rate = "20/min", crate = crate::kit::inside::traffic)]
async fn exported_again() -> &'static str {
    "hello"
}

macro_rules! limited {
    ($name:ident, $uid:literal) => {
        #[$crate::kit::inside::traffic::throttle($uid, rate = "20/min", crate = $crate::kit::inside::traffic)]
        async fn $name() -> &'static str {
            "hello"
        }
    };
}

limited!(from_a_macro, "macro");

fn main() {
    let _: Router = Router::new().route("/m", get(from_a_macro)).route("/", get(renamed)).route("/e", get(exported_again));
}
