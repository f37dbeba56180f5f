use traffik::throttle;

#[throttle("api:burst", rate = "20/min", on_throttled = "proceed")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
