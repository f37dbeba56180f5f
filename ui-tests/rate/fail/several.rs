use traffik::throttle;

#[throttle("api:burst", rate = "20/min, 500/hour")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
