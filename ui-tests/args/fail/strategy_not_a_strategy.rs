use traffik::throttle;

#[throttle("api:burst", rate = "20/min", strategy = String::new())]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
