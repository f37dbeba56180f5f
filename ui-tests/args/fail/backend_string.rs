use traffik::throttle;

#[throttle("api:burst", rate = "20/min", backend = "redis://localhost")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
