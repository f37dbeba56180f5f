use traffik::throttle;

#[throttle(rate = "20/min", "api:burst")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
