use traffik::throttle;

#[throttle()]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
