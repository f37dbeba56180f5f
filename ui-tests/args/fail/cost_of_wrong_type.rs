use traffik::throttle;

fn words(_req: &traffik::Parts) -> &'static str {
    "ten"
}

#[throttle("api:burst", rate = "20/min", cost = words)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
