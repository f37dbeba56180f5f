use traffik::throttle;

#[throttle("api:burst", rate = "20/min", strategy = 3)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
