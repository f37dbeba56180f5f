use traffik::throttle;

#[throttle("api:burst", rate = "20/min", rules = [traffik::bypass_if().path("/health")])]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
