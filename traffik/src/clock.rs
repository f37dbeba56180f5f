//! Where the time comes from: one injected [`Clock`], integer microseconds.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
///
/// Microseconds since the Unix epoch, as an integer: nothing that decides is ever a float. A clock
/// should not run backwards; a strategy that sees it happen takes the latest instant it knew.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant, in microseconds since the Unix epoch.
    fn now(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> u64 {
        (**self).now()
    }
}

/// The operating system's monotonic clock, anchored to wall time once per process.
///
/// Steps of the wall clock (NTP, a suspended laptop, an operator) never reach it.
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
        // A machine whose wall clock stands before 1970 counts from 1970.
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

/// Whole microseconds of a duration, saturating.
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
