use traffik::throttle;

#[throttle("api:burst", cost = 2)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
