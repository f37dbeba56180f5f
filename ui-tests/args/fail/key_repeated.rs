use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost = 2, rate = "30/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
