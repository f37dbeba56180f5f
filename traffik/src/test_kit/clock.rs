//! [`ManualClock`]: a clock that only moves when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, micros};

/// 2020-01-01T00:00:00Z in microseconds: the start of a minute, an hour and a day.
const START: u64 = 1_577_836_800_000_000;

/// The last instant, far enough from the end of the numbers that any time limit can be added to it.
const END: u64 = i64::MAX as u64;

/// A clock that stands still until [`advance`](ManualClock::advance) is called. Clones show the
/// same time. It stops in the year 294 247, so `advance(Duration::MAX)` outlasts every limit.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Creates a clock at 2020-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Duration::from_micros(START))
    }

    /// Creates a clock at an instant since the Unix epoch, in whole microseconds.
    #[must_use]
    pub fn at(since_epoch: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(micros(since_epoch).min(END))))
    }

    /// Advances the clock, in whole microseconds.
    pub fn advance(&self, by: Duration) {
        let later = |now: u64| Some(now.saturating_add(micros(by)).min(END));
        // Never fails: there always is a later instant, if only the last one.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }

    /// Sets the clock to another instant, forward or back, as clocks of other machines do.
    pub fn set(&self, since_epoch: Duration) {
        self.0.store(micros(since_epoch).min(END), Ordering::SeqCst);
    }

    /// Returns the time since the Unix epoch. Code that reads its time from any [`Clock`] gets microseconds
    /// instead, from [`Clock::now`].
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
