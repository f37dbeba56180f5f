//! Naive models, one for each way of counting.

use std::collections::BTreeMap;

use super::{LIMIT, PERIOD};

/// A naive model of one account.
pub(super) trait Book {
    fn room(&self, now: u64) -> u64;
    /// Charges the units. Returns what the account holds afterwards, if a refund needs that later.
    fn charge(&mut self, now: u64, units: u64) -> u64;
    /// Refunds units that were charged at `at`, when the account held `held` afterwards.
    fn give_back(&mut self, now: u64, at: u64, held: u64, units: u64);
}

/// Counts up to the limit in each window.
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

/// A level in units of 1/`PERIOD`, of which `LIMIT` drain every microsecond.
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

    /// The level at the time of the charge drains before anything charged later, and only what
    /// is left of it can be refunded.
    fn give_back(&mut self, now: u64, at: u64, held: u64, units: u64) {
        let left = held.saturating_sub((now - at) * LIMIT);
        self.set(now, self.at(now).saturating_sub((units * PERIOD).min(left)));
    }
}

/// Keeps every charge. A refund takes from the newest charges made no later than the refunded one.
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
