//! [`Attempt::wait_up_to`]: a hit that waits for room.

use std::time::Duration;

use tokio::time::Instant;

use super::Attempt;
use crate::decision::{Decision, Throttled};
use crate::error::Error;
use crate::retry::random_part;

/// How much later than necessary a hit may be tried, as a fraction of all that it will then have waited. A fraction of
/// the latest wait would have everyone who waits come back for each unit of room: the more there are, the more often
/// each of them would be refused, and a thousand would keep a Redis server busy.
const JITTER: u32 = 10;

impl Attempt<'_> {
    /// Charges the hit as soon as there is room for it, and waits for that for at most `patience`.
    ///
    /// This is for calls that the program itself makes and that may be late, such as those to an API with a limit of
    /// its own. Clients are better refused than kept waiting: each would hold a connection meanwhile.
    ///
    /// A refusal is returned at once if waiting can't help, or if the [`retry_after`](Throttled::retry_after) is longer
    /// than what is left of `patience`. Otherwise the hit is tried again after that time and, so that those who wait do
    /// not all come back at the same moment, up to a tenth of the whole wait later: the longer they have waited, the
    /// further apart they are. They are in no particular order. Each attempt is a hit of its own to events and metrics;
    /// one that is refused charges nothing.
    ///
    /// # Errors
    /// Same as awaiting the hit. Fails if it has to wait outside a tokio runtime.
    ///
    /// # Panics
    /// If it has to wait in a tokio runtime that was built without timers (`enable_time`).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), traffik::Error> {
    /// use std::time::Duration;
    /// use traffik::{Throttle, strategy::Gcra};
    ///
    /// // A partner's API takes 200 calls a second.
    /// let partner = Throttle::builder("docs:wait:partner").rate("200/s").strategy(Gcra::new()).build()?;
    /// for call in 0..3 {
    ///     let decision = partner.hit("search").wait_up_to(Duration::from_secs(5)).await?;
    ///     assert!(decision.is_allowed(), "call {call}");
    /// }
    /// assert!(!partner.hit("search").wait_up_to(Duration::ZERO).await?.is_allowed());
    /// # Ok(()) }
    /// ```
    pub async fn wait_up_to(self, patience: Duration) -> Result<Decision, Error> {
        // `None` if there is no such instant, because the patience is endless.
        let start = Instant::now();
        let give_up = start.checked_add(patience);
        loop {
            let attempt = Attempt { subject: self.subject.again(), ..self };
            let decision = attempt.await?;
            let Some(wait) = decision.throttled().and_then(Throttled::retry_after) else {
                return Ok(decision);
            };
            let left = give_up.map_or(Duration::MAX, |give_up| give_up.duration_since(Instant::now()));
            if wait > left {
                return Ok(decision);
            }
            if tokio::runtime::Handle::try_current().is_err() {
                return Err(Error::configuration(
                    "waiting for capacity takes a tokio runtime; call it from async code that tokio runs",
                ));
            }
            let late = random_part(start.elapsed().saturating_add(wait) / JITTER);
            tokio::time::sleep(wait.saturating_add(late).min(left)).await;
        }
    }
}
