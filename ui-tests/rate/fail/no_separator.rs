use traffik::throttle;

#[throttle("api:burst", rate = "20min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
