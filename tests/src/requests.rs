//! Requests, and waiting for what comes in its own time.

use std::time::{Duration, Instant};

use traffik::Parts;

/// The head of `GET path` with these headers.
///
/// # Panics
/// When the path or a header is malformed.
#[must_use]
pub fn request(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::get(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).expect("a well-formed request").into_parts().0
}

/// Asks again every few milliseconds until the answer is yes; says how long that took.
///
/// # Panics
/// When it still is no after `within`.
pub async fn eventually(within: Duration, mut ask: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < within, "still not so after {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}
