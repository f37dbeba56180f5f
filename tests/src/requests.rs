//! Requests, and helpers that wait for eventual outcomes.

use std::time::{Duration, Instant};

use traffik::{Error, Parts, Throttle};

/// Builds the head of a `GET path` request with these headers.
///
/// # Panics
/// Panics if the path or a header is malformed.
#[must_use]
pub fn request(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::get(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).expect("a well-formed request").into_parts().0
}

/// Repeats the question every few milliseconds until the answer is yes. Returns how long that took.
///
/// # Panics
/// Panics if the answer is still no after `within`.
pub async fn eventually(within: Duration, mut ask: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < within, "still not so after {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// How long servers may take to find each other.
pub(crate) const FORMING: Duration = Duration::from_secs(30);

/// Repeats the question every few milliseconds until the answer is yes, for servers that have yet to find each other.
/// Blocks its thread.
pub(crate) fn wait_until(otherwise: &str, ask: impl Fn() -> bool) {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < FORMING, "{otherwise} within {FORMING:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Repeats a hit until it is decided. Returns whether it was allowed.
///
/// A strategy without a Lua twin uses compare-and-swap. Under contention that can fail any number of times,
/// each time without charging anything.
///
/// # Errors
/// Returns an error if the store fails in any other way.
pub async fn insist(throttle: &Throttle, who: &str) -> Result<bool, Error> {
    loop {
        match throttle.hit(who).await {
            Ok(decision) => return Ok(decision.is_allowed()),
            Err(error) if error.is_contention() => {}
            Err(error) => return Err(error),
        }
    }
}
