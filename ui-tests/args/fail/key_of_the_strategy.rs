use traffik::throttle;

#[throttle("api:burst", rate = "20/min", burst = 50)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
