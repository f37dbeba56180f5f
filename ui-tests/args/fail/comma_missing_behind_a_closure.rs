use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost = |_| { let one = 1; one } mode = "shadow")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
