use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost = 2, strategy = "gcra")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
