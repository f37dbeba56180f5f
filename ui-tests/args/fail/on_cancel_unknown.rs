use traffik::throttle;

#[throttle("api:burst", rate = "20/min", on_cancel = "refunds")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
