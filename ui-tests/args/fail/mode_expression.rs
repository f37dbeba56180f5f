use traffik::throttle;

#[throttle("api:burst", rate = "20/min", mode = Shadow)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
