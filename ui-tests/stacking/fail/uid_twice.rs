use traffik::throttle;

#[throttle("api", rate = "20/min")]
#[throttle("api", rate = "500/hour")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
