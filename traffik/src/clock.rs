//! Time: an injected [`Clock`], in integer microseconds.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
///
/// Time is an integer number of microseconds since the Unix epoch: no decision depends on a float. A clock
/// should not run backwards; if it does, a strategy uses the latest instant that it has seen.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time, in microseconds since the Unix epoch: below 2^63, or on Redis below 2^53, which is
    /// in the year 2255. Later instants may overflow.
    fn now(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> u64 {
        (**self).now()
    }
}

/// The operating system's monotonic clock, anchored to wall time once per process.
///
/// Changes of the wall clock (NTP, a suspended laptop, an operator) never affect it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

struct Anchor {
    instant: Instant,
    micros: u64,
}

fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| Anchor {
        instant: Instant::now(),
        // If the wall clock is set before 1970, counting starts from 1970.
        micros: micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
    })
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> u64 {
        let anchor = anchor();
        anchor.micros + micros(anchor.instant.elapsed())
    }
}

/// The whole microseconds of a duration, saturating.
#[inline]
pub(crate) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_near_wall_time_and_never_steps_back() {
        let wall = micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let mut last = SystemClock.now();
        assert!(last.abs_diff(wall) < 5_000_000);
        for _ in 0..10_000 {
            let now = SystemClock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
