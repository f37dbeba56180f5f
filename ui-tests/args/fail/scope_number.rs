use traffik::throttle;

#[throttle("api:burst", rate = "20/min", scope = 7)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
