use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost = |_req| "ten")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
