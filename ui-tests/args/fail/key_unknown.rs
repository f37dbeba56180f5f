use traffik::throttle;

#[throttle("api:burst", rate = "20/min", colour = "red")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
