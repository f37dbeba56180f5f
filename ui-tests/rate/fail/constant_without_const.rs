use traffik::{Rate, throttle};

const BURST: Rate = Rate::per_minute(20);

#[throttle("api:burst", rate = BURST)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
