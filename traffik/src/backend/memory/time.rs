//! [`StoreClock`]: the store's clock, read on every hit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::counter::{Counter, ProcessorCounter};
use crate::clock::{Clock, SystemClock};

/// The clock of a store. The default one is a variant of its own, so that reading it is a direct call.
pub(super) enum StoreClock {
    System(Box<Interpolated<SystemClock, ProcessorCounter>>),
    Injected(Arc<dyn Clock>),
}

impl StoreClock {
    /// [`SystemClock`], interpolated with the processor's counter if that is reliable.
    pub(super) fn system() -> Self {
        match ProcessorCounter::new() {
            Some(counter) => Self::System(Box::new(Interpolated::new(SystemClock, counter))),
            None => Self::Injected(Arc::new(SystemClock)),
        }
    }

    #[inline(always)]
    pub(super) fn now(&self) -> u64 {
        match self {
            Self::System(time) => time.now(),
            Self::Injected(clock) => clock.now(),
        }
    }
}

/// Ticks after which the clock is asked again, at the latest: a third of a second at 3 GHz.
const TRUSTED: u64 = 1 << 30;

/// The least number of ticks that the counter's pace is measured over: 6 ms at 3 GHz.
const MEASURED: u64 = 1 << 24;

/// Ticks that asking the clock may take for the answer to be used as a measurement: 3 µs at 3 GHz.
const PROMPT: u64 = 1 << 13;

/// The fraction by which a pace may differ from the last one measured.
const STEADY: u64 = 1 << 10;

/// A clock, interpolated with a counter that costs less than half as much to read.
///
/// The counter's pace is measured against the clock. A pace measured over `n` ticks is used for at most the next
/// `n`, and never for more than [`TRUSTED`], so that errors of either add up to no more than a few microseconds.
/// Each correction may step back by as much; for strategies, time then stands still. Until a pace is known, the
/// clock is asked every time. A counter that jumps, as it does when a machine was migrated or suspended, is detected
/// the next time the clock is asked, and its pace is measured anew.
pub(super) struct Interpolated<C, P> {
    clock: C,
    counter: P,
    /// Odd while the rest is being written. Readers check that it is unchanged after reading the rest.
    version: AtomicU64,
    line: Line,
    /// Where the pace is measured from: ticks and microseconds; not set while those are 0.
    base: [AtomicU64; 2],
}

/// Time as a straight line.
#[derive(Default)]
struct Line {
    /// Where it starts, by the counter.
    ticks: AtomicU64,
    /// Where it starts, by the clock.
    micros: AtomicU64,
    /// Microseconds per tick, in units of 2^-64.
    pace: AtomicU64,
    /// Ticks for which it holds.
    length: AtomicU64,
}

impl<C: Clock, P: Counter> Interpolated<C, P> {
    fn new(clock: C, counter: P) -> Self {
        Self { clock, counter, version: AtomicU64::new(0), line: Line::default(), base: Default::default() }
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        let Line { ticks, micros, pace, length } = &self.line;
        let version = self.version.load(Ordering::Acquire);
        // Wrapping: a counter that was set back counts as having gone too far.
        let since = self.counter.read().wrapping_sub(ticks.load(Ordering::Relaxed));
        let length = length.load(Ordering::Relaxed);
        let now = micros.load(Ordering::Relaxed).wrapping_add(part(since, pace.load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        if since < length && version & 1 == 0 && self.version.load(Ordering::Relaxed) == version {
            now
        } else {
            self.recalibrate()
        }
    }

    /// Asks the clock, and redraws the line unless another thread is doing so.
    #[cold]
    #[inline(never)]
    fn recalibrate(&self) -> u64 {
        let version = self.version.load(Ordering::Relaxed);
        let is_free = version & 1 == 0
            && self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !is_free {
            return self.clock.now();
        }
        // A thread that reads anything of what follows also sees the odd version.
        fence(Ordering::Release);
        // Read now, while no other thread draws, so that lines follow each other as time does.
        let before = self.counter.read();
        let micros = self.clock.now();
        let ticks = self.counter.read();
        // A thread that was interrupted in between has no usable measurement.
        if ticks.wrapping_sub(before) < PROMPT {
            self.redraw(ticks, micros);
        }
        self.version.store(version + 2, Ordering::Release);
        micros
    }

    /// Must only be called by the thread that made the version odd.
    fn redraw(&self, ticks: u64, micros: u64) {
        let [base_ticks, base_micros] = &self.base;
        let start_over = || {
            base_ticks.store(ticks, Ordering::Relaxed);
            base_micros.store(micros, Ordering::Relaxed);
        };
        let since = base_micros.load(Ordering::Relaxed);
        if since == 0 {
            return start_over();
        }
        let passed = ticks.wrapping_sub(base_ticks.load(Ordering::Relaxed));
        if passed < MEASURED {
            return;
        }
        let (last, pace) =
            (self.line.pace.load(Ordering::Relaxed), pace(micros.saturating_sub(since), passed));
        let is_first = last == 0;
        let is_steady = pace != 0 && (is_first || pace.abs_diff(last) <= last / STEADY);
        // The first pace is trusted only until it has been confirmed.
        let length = if is_first { MEASURED } else { passed.min(TRUSTED) };
        if is_steady {
            self.line.ticks.store(ticks, Ordering::Relaxed);
            self.line.micros.store(micros, Ordering::Relaxed);
        }
        self.line.pace.store(if is_steady { pace } else { 0 }, Ordering::Relaxed);
        self.line.length.store(if is_steady { length } else { 0 }, Ordering::Relaxed);
        // Clocks are slowed down and sped up when they are adjusted, so only the latest stretch counts.
        if !is_steady || passed >= TRUSTED {
            start_over();
        }
    }
}

/// Returns microseconds per tick in units of 2^-64; 0 if the counter is no faster than the clock.
fn pace(micros: u64, ticks: u64) -> u64 {
    if micros >= ticks { 0 } else { ((u128::from(micros) << 64) / u128::from(ticks)) as u64 }
}

/// `pace / 2^64` of this many ticks.
#[inline(always)]
fn part(ticks: u64, pace: u64) -> u64 {
    ((u128::from(ticks) * u128::from(pace)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock and a counter of 3 GHz that are turned by hand, together or separately.
    #[derive(Debug, Clone, Copy)]
    struct Hand<'a>(&'a [AtomicU64; 2]);

    impl Hand<'static> {
        fn new() -> Self {
            Self(Box::leak(Box::new([1_000_000, 1_000_000_000_000].map(AtomicU64::new))))
        }

        fn turn(self, micros: u64) {
            self.0[0].fetch_add(micros * 3000, Ordering::Relaxed);
            self.0[1].fetch_add(micros, Ordering::Relaxed);
        }

        /// Turns the counter alone.
        fn jump(self, ticks: i64) {
            self.0[0].fetch_add(ticks as u64, Ordering::Relaxed);
        }

        fn time(self) -> Interpolated<Self, Self> {
            Interpolated::new(self, self)
        }
    }

    impl Counter for Hand<'_> {
        fn read(&self) -> u64 {
            self.0[0].load(Ordering::Relaxed)
        }
    }

    impl Clock for Hand<'static> {
        fn now(&self) -> u64 {
            self.0[1].load(Ordering::Relaxed)
        }
    }

    /// Whether the clock need not be asked.
    fn is_followed(time: &Interpolated<Hand<'_>, Hand<'_>>) -> bool {
        let length = time.line.length.load(Ordering::Relaxed);
        Counter::read(&time.counter).wrapping_sub(time.line.ticks.load(Ordering::Relaxed)) < length
    }

    #[test]
    fn it_follows_the_system_clock() {
        let StoreClock::System(time) = StoreClock::system() else { return };
        let mut followed = 0;
        for _ in 0..3_000_000 {
            followed += u32::from(time.line.length.load(Ordering::Relaxed) > 0);
            let before = SystemClock.now();
            let now = time.now();
            let after = SystemClock.now();
            // Within two readings of the system clock, give or take 100 µs.
            assert!(now + 100 >= before && now <= after + 100, "{now} is not between {before} and {after}");
        }
        assert!(followed > 0, "the counter was never relied on");
    }

    #[test]
    fn a_counter_is_followed_once_its_pace_is_known_and_no_further_than_that_was_measured() {
        let hand = Hand::new();
        let time = hand.time();
        let (mut asked, mut followed) = (0_u32, 0_u32);
        for step in 0..1_000_000 {
            hand.turn(step % 100);
            *(if is_followed(&time) { &mut followed } else { &mut asked }) += 1;
            let now = time.now();
            assert!(now.abs_diff(hand.now()) <= 1, "{now} at {}", hand.now());
        }
        // 6 ms until the pace is known, and then twice as long with every question, up to 0.36 s.
        assert!(asked < 500 && followed > 999_000, "{asked} asked");
    }

    #[test]
    fn a_counter_that_jumps_is_corrected_at_once_and_measured_anew() {
        for jump in [30_000_000_000, -30_000_000_000] {
            let hand = Hand::new();
            let time = hand.time();
            for _ in 0..1000 {
                hand.turn(1000);
                time.now();
            }
            assert!(is_followed(&time));
            // Ten seconds that never passed, or passed twice.
            hand.jump(jump);
            for _ in 0..1000 {
                assert!(time.now().abs_diff(hand.now()) <= 1);
                hand.turn(1000);
            }
            assert!(is_followed(&time), "not followed again after a jump by {jump}");
        }
    }

    #[test]
    fn between_two_questions_the_counter_is_believed() {
        let hand = Hand::new();
        let time = hand.time();
        for _ in 0..1000 {
            hand.turn(1000);
            time.now();
        }
        let start = time.now();
        hand.jump(3000 * 1000);
        assert!(time.now().abs_diff(start + 1000) <= 1);
        hand.jump(TRUSTED as i64);
        assert_eq!(time.now(), hand.now());
    }

    #[test]
    fn a_counter_slower_than_the_clock_is_never_followed() {
        let hand = Hand::new();
        let time = hand.time();
        for _ in 0..100_000 {
            hand.0[0].fetch_add(1000, Ordering::Relaxed);
            hand.0[1].fetch_add(2000, Ordering::Relaxed);
            assert_eq!(time.now(), hand.now());
        }
    }

    /// A counter of 3 GHz, and the clock that matches it.
    #[derive(Debug, Clone, Copy)]
    struct Even<'a>(&'a AtomicU64);

    impl Counter for Even<'_> {
        fn read(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Clock for Even<'static> {
        fn now(&self) -> u64 {
            self.read() / 3000
        }
    }

    /// Lines far apart are never mixed by threads that read while they are drawn.
    #[test]
    fn a_line_is_read_as_a_whole() {
        let even = Even(Box::leak(Box::new(AtomicU64::new(3_000_000_000))));
        let time = Interpolated::new(even, even);
        let is_done = std::sync::atomic::AtomicBool::new(false);
        let mut drawn = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let before = even.now();
                    let now = time.now();
                    let after = even.now();
                    assert!(now + 1 >= before && now <= after + 1, "{now} is not in {before}..={after}");
                }
            });
            for _ in 0..200_000 {
                even.0.fetch_add(3000 * 100_000, Ordering::SeqCst);
                time.recalibrate();
                // Not after every time: the other thread may take a sample that spans a step.
                drawn += u32::from(time.line.length.load(Ordering::Relaxed) > 0);
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert!(drawn > 100, "{drawn} lines were drawn");
    }
}
