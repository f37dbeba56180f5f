use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
const fn handler() -> &'static str {
    "hello"
}

fn main() {}
