use traffik::throttle;

#[throttle("api:burst", rate: "20/min")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
