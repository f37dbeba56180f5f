use traffik::throttle;

#[throttle(7, rate = "20/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
