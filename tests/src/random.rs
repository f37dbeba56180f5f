//! [`Random`]: reproducible random numbers.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small random number generator (SplitMix64). Prints its seed if the test that owns it panics.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// Creates the generator for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Returns any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Returns one of the choices.
    ///
    /// # Panics
    /// Panics if there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Drop for Random {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with TRAFFIK_SEED={}", self.seed);
        }
    }
}

/// Returns whether `TRAFFIK_LONG=1` asks for the long run.
#[must_use]
pub fn long_run() -> bool {
    std::env::var("TRAFFIK_LONG").is_ok_and(|value| value == "1")
}

/// Returns the seeds to run: the one in `TRAFFIK_SEED` if set, otherwise `short` fixed ones. A long run uses
/// ten times as many fixed seeds and equally many fresh ones.
#[must_use]
pub fn seeds(short: u64) -> Vec<u64> {
    if let Some(seed) = std::env::var("TRAFFIK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return vec![seed];
    }
    if !long_run() {
        return (0..short).collect();
    }
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    (0..short * 10).flat_map(|seed| [seed, fresh.wrapping_add(seed)]).collect()
}
