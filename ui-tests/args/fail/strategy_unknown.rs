use traffik::throttle;

#[throttle("api:burst", rate = "20/min", strategy = "fixed-window")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
