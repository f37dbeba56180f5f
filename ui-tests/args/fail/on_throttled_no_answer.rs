use traffik::throttle;

fn half(_req: &traffik::Parts, _refused: &traffik::Throttled) -> f64 {
    7.5
}

#[throttle("api:burst", rate = "20/min", on_throttled = half)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
