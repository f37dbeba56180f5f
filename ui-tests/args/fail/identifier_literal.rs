use traffik::throttle;

#[throttle("api:burst", rate = "20/min", identifier = "client")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
