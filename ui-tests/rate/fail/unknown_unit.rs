use traffik::throttle;

#[throttle("api:burst", rate = "20/mins")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
