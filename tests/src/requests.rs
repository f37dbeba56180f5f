//! Requests, and waiting for what comes in its own time.

use std::time::{Duration, Instant};

use traffik::{Error, Parts, Throttle};

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

/// Hits until there is an answer: a strategy without a script may find that others change the keys for as long as it
/// may take, and has charged nothing then. Says whether it passed.
///
/// # Errors
/// When the store fails in any other way.
pub async fn insist(throttle: &Throttle, who: &str) -> Result<bool, Error> {
    loop {
        match throttle.hit(who).await {
            Ok(decision) => return Ok(decision.is_allowed()),
            Err(error) if error.is_contention() => {}
            Err(error) => return Err(error),
        }
    }
}
