use traffik::throttle;

#[throttle("api:burst", raet = "20/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
