use traffik::throttle;

#[throttle("api:burst", rate = "1.5/s")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
