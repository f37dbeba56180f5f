use traffik::throttle;

#[throttle("api:burst", rate = 20)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
