//! How long a request may take.

use std::time::{Duration, Instant};

/// By how much a request may exceed its deadline.
pub const GRACE: Duration = Duration::from_millis(50);

/// Awaits what must be over at the deadline and a little more at most; says how long it took.
///
/// A sleep of the deadline's length runs beside it, so that a machine too busy to wake anyone is not
/// held against the library.
///
/// # Panics
/// When it takes longer.
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
