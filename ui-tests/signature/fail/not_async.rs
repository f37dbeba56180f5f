use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
fn handler() -> &'static str {
    "hello"
}

fn main() {}
