use traffik::throttle;

#[throttle("api:burst", rate = "9007199254740992/s")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
