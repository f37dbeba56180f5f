use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
async unsafe fn handler() -> &'static str {
    "hello"
}

fn main() {}
