use std::sync::LazyLock;
use traffik::{Throttle, ThrottleLayer};

static GLOBAL: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("global").rate("20/min").build().unwrap());

fn main() {
    let _ = ThrottleLayer::new([&GLOBAL]);
}
