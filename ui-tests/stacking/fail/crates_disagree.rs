use traffik::throttle;

#[throttle("burst", rate = "20/min", crate = ::traffik)]
#[throttle("sustained", rate = "500/hour", crate = ::other)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
