use axum::{Router, routing::get};
use traffik::strategy::{Gcra, TokenBucket};
use traffik::throttle;

#[throttle("s:fixed", rate = "20/min", strategy = "fixed_window")]
#[throttle("s:sliding", rate = "20/min", strategy = "sliding_window")]
#[throttle("s:log", rate = "20/min", strategy = "sliding_log")]
#[throttle("s:bucket", rate = "20/min", strategy = "token_bucket", cost = 20)]
#[throttle("s:leaky", rate = "20/min", strategy = "leaky_bucket")]
#[throttle("s:queue", rate = "20/min", strategy = "leaky_queue")]
#[throttle("s:gcra", rate = "20/min", strategy = "gcra", cost = 1)]
async fn words() -> &'static str {
    "hello"
}

// An expression has a capacity of its own, which a cost above the rate may fit.
#[throttle("x:bucket", rate = "20/min", strategy = TokenBucket::new().burst(50), cost = 40)]
#[throttle("x:gcra", rate = "20/min", strategy = Gcra::new().burst(5), cost = 5)]
async fn expressions() -> &'static str {
    "hello"
}

fn main() {
    let _: Router = Router::new().route("/", get(words)).route("/x", get(expressions));
}
