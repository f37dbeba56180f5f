use traffik::throttle;

#[throttle("api:burst", rate = "")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
