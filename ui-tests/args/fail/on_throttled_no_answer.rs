use traffik::throttle;

#[throttle("api:burst", rate = "20/min", on_throttled = |_req, _refused| 7.5)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
