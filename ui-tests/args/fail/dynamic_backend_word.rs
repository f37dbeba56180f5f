use traffik::throttle;

#[throttle("api:burst", rate = "20/min", dynamic_backend = "yes")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
