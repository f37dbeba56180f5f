use traffik::throttle;

#[throttle("api:burst", rate = "20/min"; cost = 1)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
