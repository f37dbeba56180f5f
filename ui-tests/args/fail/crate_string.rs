use traffik::throttle;

#[throttle("api:burst", rate = "20/min", crate = "::traffik")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
