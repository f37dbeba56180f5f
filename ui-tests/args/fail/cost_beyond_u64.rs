use traffik::throttle;

#[throttle("api:burst", rate = "20/min", cost = 18446744073709551616)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
