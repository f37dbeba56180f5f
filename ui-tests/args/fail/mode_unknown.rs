use traffik::throttle;

#[throttle("api:burst", rate = "20/min", mode = "shadows")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
