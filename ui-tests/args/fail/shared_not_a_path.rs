use std::sync::LazyLock;

use traffik::{Throttle, throttle};

static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("uploads").rate("20/min").build().unwrap());

#[throttle(&UPLOADS)]
async fn reference() {}

#[throttle(&*UPLOADS, cost = 10)]
async fn dereferenced() {}

#[throttle(uploads())]
async fn call() {}

#[throttle(concat!("up", "loads"), rate = "20/min")]
async fn call_of_a_macro() {}

fn uploads() -> &'static Throttle {
    &UPLOADS
}

fn main() {
    uploads();
}
