use traffik::throttle;

#[throttle("api:burst", rate = "20/min", strategy = "gcra" headers = "never")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
