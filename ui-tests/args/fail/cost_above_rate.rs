use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost = 21, strategy = "token_bucket")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
