//! Naive book-keepers: one for each way of counting.

use std::collections::BTreeMap;

use super::{LIMIT, PERIOD};

/// What a book-keeper knows of one account.
pub(super) trait Book {
    fn room(&self, now: u64) -> u64;
    /// Says what the account held afterwards, where that matters later.
    fn charge(&mut self, now: u64, units: u64) -> u64;
    /// Gives back what was charged at `at`, and left the account with `held`.
    fn give_back(&mut self, now: u64, at: u64, held: u64, units: u64);
}

/// So many in each window.
#[derive(Default)]
pub(super) struct Windows(BTreeMap<u64, u64>);

impl Book for Windows {
    fn room(&self, now: u64) -> u64 {
        LIMIT - self.0.get(&(now / PERIOD)).copied().unwrap_or(0)
    }

    fn charge(&mut self, now: u64, units: u64) -> u64 {
        *self.0.entry(now / PERIOD).or_default() += units;
        0
    }

    fn give_back(&mut self, _: u64, at: u64, _: u64, units: u64) {
        if let Some(used) = self.0.get_mut(&(at / PERIOD)) {
            *used = used.saturating_sub(units);
        }
    }
}

/// A level in fractions of a unit, as many as a period has microseconds, of which each takes forty.
pub(super) struct Level {
    pub(super) level: u64,
    pub(super) last: u64,
    pub(super) most: u64,
}

impl Level {
    fn at(&self, now: u64) -> u64 {
        self.level.saturating_sub((now - self.last) * LIMIT)
    }

    fn set(&mut self, now: u64, level: u64) {
        (self.level, self.last) = (level, now);
    }
}

impl Book for Level {
    fn room(&self, now: u64) -> u64 {
        (self.most * PERIOD - self.at(now)) / PERIOD
    }

    fn charge(&mut self, now: u64, units: u64) -> u64 {
        self.set(now, self.at(now) + units * PERIOD);
        self.level
    }

    /// What was there when it was charged leaks before what came later, and only what is left of it
    /// can be given back.
    fn give_back(&mut self, now: u64, at: u64, held: u64, units: u64) {
        let left = held.saturating_sub((now - at) * LIMIT);
        self.set(now, self.at(now).saturating_sub((units * PERIOD).min(left)));
    }
}

/// Every charge by itself; the newest ones that had been made by then are given back.
#[derive(Default)]
pub(super) struct Log(Vec<(u64, u64)>);

impl Book for Log {
    fn room(&self, now: u64) -> u64 {
        let counts = self.0.iter().filter(|(at, _)| at + PERIOD > now);
        LIMIT - counts.map(|(_, units)| units).sum::<u64>()
    }

    fn charge(&mut self, now: u64, units: u64) -> u64 {
        self.0.push((now, units));
        0
    }

    fn give_back(&mut self, now: u64, at: u64, _: u64, mut units: u64) {
        for (_, charged) in self.0.iter_mut().rev().filter(|(when, _)| *when <= at && when + PERIOD > now) {
            let taken = units.min(*charged);
            (*charged, units) = (*charged - taken, units - taken);
        }
    }
}
