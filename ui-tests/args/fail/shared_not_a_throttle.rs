use traffik::throttle;

static UPLOADS: u64 = 20;

#[throttle(UPLOADS)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
