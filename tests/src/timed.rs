//! Bounds on how long a request may take.

use std::time::{Duration, Instant};

/// How far a request may overrun its deadline.
pub const GRACE: Duration = Duration::from_millis(50);

/// Awaits a request that must end within its deadline plus [`GRACE`]. Returns the outcome and the time it took.
///
/// A timer of the same length runs alongside, so that a machine too busy to wake tasks on time does
/// not count against the library.
///
/// # Panics
/// Panics if it takes longer.
pub async fn timed<T>(deadline: Duration, request: impl IntoFuture<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let mut answer = Box::pin(async {
        let answer = request.into_future().await;
        (answer, began.elapsed())
    });
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        () = tokio::time::sleep(deadline) => {
            let late = began.elapsed();
            let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
            let (answer, took) = answer.expect("no request hangs");
            assert!(took <= late + GRACE, "took {took:?}, {late:?} after the deadline's own timer");
            (answer, took)
        }
    }
}
