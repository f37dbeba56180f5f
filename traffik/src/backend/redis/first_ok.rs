//! Asking several servers at once, for the one answer that any of them can give.

use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::task::JoinSet;

/// Returns the first of several answers that is not an error, or else the last error. The other tasks are left to the
/// caller.
pub(super) async fn first_ok<T: 'static>(
    answers: &mut JoinSet<RedisResult<T>>,
    nobody: impl FnOnce() -> RedisError,
) -> RedisResult<T> {
    let mut failed = None;
    while let Some(answer) = answers.join_next().await {
        match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => failed = Some(error),
            // Nothing in the task panics, and nothing aborts it.
            Err(_) => {}
        }
    }
    Err(failed.unwrap_or_else(nobody))
}

/// Fails if there is no answer in time.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
