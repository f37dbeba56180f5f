//! Interleaved measurement: all sides in turn, compared round by round.
//!
//! The machine drifts, so single times mean little. Each round times every side one right after the
//! other, and what is reported is the median of the rounds' ratios with their spread.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::memory::Identity;

/// One side of a comparison: says how long an operation took, in nanoseconds.
pub type Side<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Lowest, median and highest of some figures.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub lowest: f64,
    pub median: f64,
    pub highest: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self { lowest: at(0), median: at(values.len() / 2), highest: at(values.len().saturating_sub(1)) }
    }
}

/// Times all sides in turn, so many rounds; the figures of each round, in the order of the sides.
pub fn rounds<const N: usize>(rounds: usize, mut sides: [Side<'_>; N]) -> Vec<[f64; N]> {
    // Caches and branch predictors first.
    sides.iter_mut().for_each(|side| {
        side();
    });
    let round = |round: usize| {
        let mut times = [0.0; N];
        // Whoever goes first warms the machine for the others: each does in turn.
        for step in 0..N {
            let place = (round + step) % N;
            times[place] = sides[place]();
        }
        times
    };
    (0..rounds).map(round).collect()
}

/// The same of sides that take turns within a round too, so many: what the machine does meanwhile falls on all.
pub fn rounds_of_turns<const N: usize>(count: usize, turns: usize, sides: [Side<'_>; N]) -> Vec<[f64; N]> {
    let short = rounds(count * turns, sides);
    let mean = |turns: &[[f64; N]]| {
        std::array::from_fn(|side| turns.iter().map(|times| times[side]).sum::<f64>() / turns.len() as f64)
    };
    short.chunks(turns).map(mean).collect()
}

/// Runs `work(thread, i)` for `i` in `0..n` on each of `threads` threads at once; nanoseconds per
/// operation, as each thread sees it.
pub fn on_threads(threads: usize, n: usize, work: impl Fn(usize, usize) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let one = |thread: usize| {
        barrier.wait();
        let start = Instant::now();
        (0..n).for_each(|i| work(thread, i));
        start.elapsed().as_nanos() as f64
    };
    let total: f64 = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        one(0) + others.into_iter().filter_map(|handle| handle.join().ok()).sum::<f64>()
    });
    total / (threads * n) as f64
}

/// Identities that are made together at a time: they stay in the first-level cache.
const AT_HAND: usize = 64;

/// The same of work on identities that are at hand, as those of a request are that was just read. A few are
/// made at a time, of the clients that `pick(thread, i)` says, and only what is done with them is timed.
pub fn at_hand<I: Identity>(
    threads: usize,
    n: usize,
    pick: impl Fn(usize, usize) -> usize + Sync,
    work: impl Fn(&I) + Sync,
) -> f64 {
    let barrier = Barrier::new(threads);
    let one = |thread: usize| {
        let mut few: Vec<I> = (0..AT_HAND).map(I::of).collect();
        let mut time = Duration::ZERO;
        barrier.wait();
        for batch in 0..n / AT_HAND {
            for (at, identity) in few.iter_mut().enumerate() {
                identity.become_of(pick(thread, batch * AT_HAND + at));
            }
            let start = Instant::now();
            few.iter().for_each(&work);
            time += start.elapsed();
        }
        time.as_nanos() as f64 / (n / AT_HAND * AT_HAND) as f64
    };
    let total: f64 = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        one(0) + others.into_iter().filter_map(|handle| handle.join().ok()).sum::<f64>()
    });
    total / threads as f64
}
