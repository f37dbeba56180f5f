//! Interleaved measurement: all sides run in turn and are compared round by round.
//!
//! The machine drifts, so single times mean little. Each round times all sides in immediate succession, and the report
//! states the median and the spread of the rounds' ratios.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::identity::Identity;

/// One side of a comparison: a function that returns the time per operation, in nanoseconds.
pub type Side<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// The lowest, median and highest of several figures.
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

/// Times all sides in turn for a number of rounds. Returns the figures of each round, in the order of the sides.
pub fn rounds<const N: usize>(rounds: usize, mut sides: [Side<'_>; N]) -> Vec<[f64; N]> {
    // Warm up caches and branch predictors.
    sides.iter_mut().for_each(|side| {
        side();
    });
    let round = |round: usize| {
        let mut times = [0.0; N];
        // The side that goes first warms the machine for the others, so rotate the order.
        for step in 0..N {
            let place = (round + step) % N;
            times[place] = sides[place]();
        }
        times
    };
    (0..rounds).map(round).collect()
}

/// Like [`rounds`], but the sides also take turns within each round, so that whatever the machine does meanwhile affects
/// all of them.
pub fn rounds_of_turns<const N: usize>(count: usize, turns: usize, sides: [Side<'_>; N]) -> Vec<[f64; N]> {
    let short = rounds(count * turns, sides);
    let mean = |turns: &[[f64; N]]| {
        std::array::from_fn(|side| turns.iter().map(|times| times[side]).sum::<f64>() / turns.len() as f64)
    };
    short.chunks(turns).map(mean).collect()
}

/// Runs `work(thread, i)` for `i` in `0..n` on each of `threads` threads at once. Returns nanoseconds per operation, as
/// seen by each thread.
pub fn on_threads(threads: usize, n: usize, work: impl Fn(usize, usize) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let one = |thread: usize| {
        barrier.wait();
        let start = Instant::now();
        (0..n).for_each(|i| work(thread, i));
        start.elapsed().as_nanos() as f64
    };
    sum_over_threads(threads, one) / (threads * n) as f64
}

/// Runs `one(thread)` on each of `threads` threads at once, and adds up what they return.
fn sum_over_threads(threads: usize, one: impl Fn(usize) -> f64 + Copy + Send) -> f64 {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        one(0) + others.into_iter().filter_map(|handle| handle.join().ok()).sum::<f64>()
    })
}

/// How many identities are prepared at a time: few enough to stay in the first-level cache.
const AT_HAND: usize = 64;

/// Like [`on_threads`], for work on identities that are in the cache, as those of a request that was just read are. The
/// identities of the clients that `pick(thread, i)` returns are prepared a few at a time, and only the work on them is
/// timed.
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
    sum_over_threads(threads, one) / threads as f64
}
