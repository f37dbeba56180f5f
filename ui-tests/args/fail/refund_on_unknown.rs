use traffik::throttle;

#[throttle("api:burst", rate = "20/min", refund_on = "4xx")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
