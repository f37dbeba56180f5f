//! [`conformance()`]: the suite that every backend must pass.

mod accounts;
mod batches;
mod concurrency;
mod custom;
mod oracle;
mod random;
mod strategies;
#[cfg(test)]
mod tests;
mod traces;

use std::future::Future;

use super::ManualClock;
use crate::backend::SharedBackend;
use oracle::Suite;

/// Tests a backend: every answer must be what the strategies' pure steps return, to the unit and
/// the microsecond.
///
/// `make` is called once for each part of the suite, and creates a backend that uses the given
/// clock. The backend need not be empty: each run uses its own clients. The suite tests:
///
/// - every strategy, on random traces of hits, checks, refunds, settles, resets and changed limits
/// - batches of several throttles: all are charged, or none, and refusals report the accounts as
///   they stand
/// - clients, throttles, scopes and rates that look alike but are counted separately
/// - a check changes nothing, a refund never lifts an account above full, a settle takes as much as
///   there is room for, a reset forgets, and an idle account becomes full again, but not too early
/// - exact totals when many hits are in flight at once, and whole batches when some are dropped
/// - custom strategies, with words and with bytes
///
/// ```
/// # async fn run() {
/// use traffik::MemoryBackend;
/// use traffik::test_kit::conformance;
///
/// conformance(|clock| async move { MemoryBackend::builder().clock(clock).build() }).await;
/// # }
/// ```
///
/// Traces are random with a fixed seed, which every failure reports. `TRAFFIK_SEED` sets another;
/// `TRAFFIK_LONG=1` runs twenty times as many. A store that expires entries by its own clock, as
/// Redis does, must keep what it has written for at least a second.
///
/// # Panics
/// Panics if the backend is wrong, with the question, the expected answer and the actual one.
pub async fn conformance<F, Fut, B>(make: F)
where
    F: Fn(ManualClock) -> Fut,
    Fut: Future<Output = B>,
    B: Into<SharedBackend>,
{
    let suite = async |part| {
        let clock = ManualClock::new();
        Suite::new(part, make(clock.clone()).await.into(), clock)
    };
    accounts::counted_apart(suite("counted apart").await).await;
    accounts::given_back_and_forgotten(suite("given back and forgotten").await).await;
    accounts::idle_accounts_fill(suite("idle accounts fill").await).await;
    traces::every_strategy(suite("every strategy").await).await;
    batches::all_or_nothing(suite("all or nothing").await).await;
    batches::told_as_they_stand(suite("told as they stand").await).await;
    concurrency::exact_totals(suite("exact totals").await).await;
    concurrency::whole_batches(suite("whole batches").await).await;
    concurrency::dropped_calls(suite("dropped calls").await).await;
    custom::own_strategies(suite("own strategies").await).await;
}
