use traffik::throttle;

#[throttle("api:burst", limit = "20/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
