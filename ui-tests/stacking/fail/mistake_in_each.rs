use traffik::throttle;

#[throttle("burst", rate = "20/mins")]
#[traffik::throttle("sustained", rate = "500/hour", cost = 501)]
#[throttle("daily")]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
