use traffik::throttle;

#[throttle("api:burst", rate = "0/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
