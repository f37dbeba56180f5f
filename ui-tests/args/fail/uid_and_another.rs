use traffik::throttle;

#[throttle("api:burst", "api:sustained", rate = "20/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
