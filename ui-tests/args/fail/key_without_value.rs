use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost, identifier = )]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
