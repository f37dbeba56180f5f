//! [`Time`]: the store's clock, read on every hit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, SystemClock};

/// The default clock by name, so that reading it is a direct call.
pub(super) enum Time {
    System(Box<Ticks>),
    Injected(Arc<dyn Clock>),
}

impl Time {
    pub(super) fn system() -> Self {
        Self::System(Box::new(Ticks::new(quanta::Clock::new())))
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        match self {
            Self::System(ticks) => ticks.now(),
            Self::Injected(clock) => clock.now(),
        }
    }
}

/// Ticks after which the operating system's clock is asked again: a third of a second at 3 GHz.
const TRUSTED: u64 = 1 << 30;

/// [`SystemClock`], interpolated with the processor's own counter, which costs less than half as
/// much to read.
///
/// The counter is never followed for longer than [`TRUSTED`] ticks, so that an error of its
/// frequency does not add up: of 10 in a million it makes some microseconds. Each correction may
/// step back by as much, and then time stands still for strategies. A counter that jumps, as a
/// machine's does that was moved or put to sleep, is corrected at the next hit.
///
/// Two fields written apart, read apart: a reader that sees one of a correction without the other
/// is off by the correction, which is as small.
pub(super) struct Ticks {
    counter: quanta::Clock,
    /// What the counter said when the system's clock was last asked.
    asked: AtomicU64,
    /// Microseconds from the counter's zero to the Unix epoch's, wrapping.
    offset: AtomicU64,
}

impl Ticks {
    fn new(counter: quanta::Clock) -> Self {
        let ticks = Self { counter, asked: AtomicU64::new(0), offset: AtomicU64::new(0) };
        ticks.ask(ticks.counter.raw());
        ticks
    }

    #[inline]
    fn now(&self) -> u64 {
        let ticks = self.counter.raw();
        // Wrapping: a counter that was set back has gone far as well.
        if ticks.wrapping_sub(self.asked.load(Ordering::Relaxed)) > TRUSTED {
            return self.ask(ticks);
        }
        self.offset.load(Ordering::Relaxed).wrapping_add(self.micros(ticks))
    }

    fn micros(&self, ticks: u64) -> u64 {
        self.counter.delta_as_nanos(0, ticks) / 1000
    }

    #[cold]
    fn ask(&self, ticks: u64) -> u64 {
        let now = SystemClock.now();
        self.offset.store(now.wrapping_sub(self.micros(ticks)), Ordering::Relaxed);
        self.asked.store(ticks, Ordering::Relaxed);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far interpolation may be off, on a machine that can stop this thread between two reads:
    /// what lies between two readings of the system's clock, and 100 µs.
    fn assert_follows(ticks: &Ticks) {
        let before = SystemClock.now();
        let now = ticks.now();
        let after = SystemClock.now();
        assert!(now + 100 >= before && now <= after + 100, "{now} is not between {before} and {after}");
    }

    #[test]
    fn it_follows_the_system_clock() {
        let ticks = Ticks::new(quanta::Clock::new());
        for _ in 0..100_000 {
            assert_follows(&ticks);
        }
    }

    #[test]
    fn a_counter_that_jumps_is_corrected_at_once() {
        let (counter, hand) = quanta::Clock::mock();
        let ticks = Ticks::new(counter);
        // Ahead by ten seconds, which never passed: the next reading asks.
        hand.increment(10_000_000_000);
        assert_follows(&ticks);
        // Back to where it was.
        hand.decrement(10_000_000_000);
        assert_follows(&ticks);
    }

    #[test]
    fn between_two_questions_the_counter_is_believed() {
        let (counter, hand) = quanta::Clock::mock();
        let ticks = Ticks::new(counter);
        let start = ticks.now();
        hand.increment(1_000_000);
        assert_eq!(ticks.now(), start + 1000);
        hand.increment(TRUSTED);
        assert_follows(&ticks);
    }
}
