use traffik::throttle;

#[throttle(rate = "20/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
