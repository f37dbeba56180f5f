//! The reference models of the seven core strategies.

use super::*;

/// An event that changed the account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) now: u64,
    pub(super) what: What,
    pub(super) cost: u64,
    /// The limit in force at that time.
    pub(super) limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Charge,
    /// Refunds a charge made at `at` that would have drained by `gone_at`.
    Refund {
        at: u64,
        gone_at: u64,
    },
}

/// Everything that a definition may depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) rate: &'a Rate,
    pub(super) who: Who<'a>,
    pub(super) history: &'a [Event],
    pub(super) now: u64,
    pub(super) cost: u64,
}

impl Scene<'_> {
    pub(super) fn limit(&self) -> u128 {
        self.rate.limit().into()
    }

    pub(super) fn period(&self) -> u128 {
        self.rate.period_micros().into()
    }

    /// Returns what is used in a window of the grid according to the events so far. A refund goes to the
    /// window that `target(window of the charge, window of the refund)` returns.
    pub(super) fn used_in(
        &self,
        window: u128,
        index: impl Fn(u64) -> u128,
        target: impl Fn(u128, u128) -> Option<u128>,
    ) -> u128 {
        self.history.iter().fold(0, |used, event| match event.what {
            What::Charge if index(event.now) == window => used + u128::from(event.cost),
            What::Refund { at, .. } if target(index(at), index(event.now)) == Some(window) => {
                used.saturating_sub(event.cost.into())
            }
            _ => used,
        })
    }
}

/// A refund counts in its own window, unless the charge belongs to an earlier one, whose end has discarded it.
pub(super) fn same_window(charge: u128, refund: u128) -> Option<u128> {
    (charge >= refund).then_some(refund)
}

/// A refund counts in its own window or the one before.
pub(super) fn last_two_windows(charge: u128, refund: u128) -> Option<u128> {
    if charge >= refund { Some(refund) } else { (charge + 1 == refund).then_some(charge) }
}

pub(super) fn fixed_window(scene: &Scene<'_>, shift: u64, limit: u128) -> bool {
    let period = scene.rate.period_micros();
    let index = |at: u64| u128::from(at + period - shift % period) / u128::from(period);
    scene.used_in(index(scene.now), index, same_window) + u128::from(scene.cost) <= limit
}

pub(super) fn sliding_window(scene: &Scene<'_>) -> bool {
    let period = scene.period();
    let index = |at: u64| u128::from(at) / period;
    let window = index(scene.now);
    let used = |window| scene.used_in(window, index, last_two_windows);
    let elapsed = u128::from(scene.now) - window * period;
    let fading = (used(window - 1) * (period - elapsed)).div_ceil(period);
    fading + used(window) + u128::from(scene.cost) <= scene.limit()
}

pub(super) fn sliding_log(scene: &Scene<'_>) -> bool {
    let mut log: Vec<(u64, u64)> = Vec::new();
    for event in scene.history {
        match event.what {
            What::Charge => log.push((event.now, event.cost)),
            What::Refund { at, .. } => {
                let mut units = event.cost;
                for (time, cost) in log.iter_mut().rev() {
                    let counts = *time <= at && u128::from(*time) + scene.period() > event.now.into();
                    let taken = if counts { units.min(*cost) } else { 0 };
                    *cost -= taken;
                    units -= taken;
                }
            }
        }
    }
    let counts = |time: u64| u128::from(time) + scene.period() > scene.now.into();
    let used: u128 = log.iter().filter(|(time, _)| counts(*time)).map(|(_, cost)| u128::from(*cost)).sum();
    used + u128::from(scene.cost) <= scene.limit()
}

/// The level in units of 1/P, so that L of them drain per microsecond.
pub(super) fn level(scene: &Scene<'_>, capacity: u64) -> bool {
    let (limit, period) = (scene.limit(), scene.period());
    let (mut level, mut last) = (0_u128, 0_u64);
    let leak = |level: u128, from: u64, to: u64| level.saturating_sub(u128::from(to - from) * limit);
    for event in scene.history {
        level = leak(level, last, event.now);
        last = event.now;
        match event.what {
            What::Charge => level += u128::from(event.cost) * period,
            What::Refund { gone_at, .. } => {
                let left = u128::from(gone_at.saturating_sub(event.now)) * limit;
                level = level.saturating_sub((u128::from(event.cost) * period).min(left));
            }
        }
    }
    level = leak(level, last, scene.now);
    level + u128::from(scene.cost) * period <= u128::from(capacity) * period
}

/// The theoretical arrival time in units of 1/L µs, so that T = P / L becomes P.
pub(super) fn gcra(scene: &Scene<'_>, burst: u64) -> bool {
    let (limit, period) = (scene.limit(), scene.period());
    let mut arrival = 0_u128;
    for event in scene.history {
        arrival = arrival.max(u128::from(event.now) * limit);
        match event.what {
            What::Charge => arrival += u128::from(event.cost) * period,
            What::Refund { gone_at, .. } => {
                let left = u128::from(gone_at.saturating_sub(event.now)) * limit;
                arrival = arrival.saturating_sub((u128::from(event.cost) * period).min(left));
            }
        }
    }
    let now = u128::from(scene.now) * limit;
    now + u128::from(burst) * period >= arrival.max(now) + u128::from(scene.cost) * period
}

/// Entries are `(arrival, cost)`. They leave at times given in units of 1/L µs.
pub(super) fn leaky_queue(scene: &Scene<'_>) -> bool {
    let (limit, period) = (scene.limit(), scene.period());
    let leaving = |queue: &[(u64, u64)]| {
        let mut before = 0_u128;
        let leave = |(arrival, cost): &(u64, u64)| {
            before = before.max(u128::from(*arrival) * limit) + u128::from(*cost) * period;
            before
        };
        queue.iter().map(leave).collect::<Vec<u128>>()
    };
    let mut queue: Vec<(u64, u64)> = Vec::new();
    for event in scene.history {
        match event.what {
            What::Charge if event.cost == 0 => {}
            What::Charge => queue.push((event.now, event.cost)),
            What::Refund { at, gone_at } => {
                let leaves = leaving(&queue);
                let starts =
                    |place: &usize| *place == 0 || leaves[place - 1] <= u128::from(queue[*place].0) * limit;
                let run = (0..queue.len()).rev().find(starts).map_or(0, |place| queue[place].0);
                let mut units = if at >= run && gone_at > event.now { event.cost } else { 0 };
                for place in (0..queue.len()).rev() {
                    if leaves[place] > u128::from(event.now) * limit {
                        let taken = units.min(queue[place].1);
                        queue[place].1 -= taken;
                        units -= taken;
                    }
                }
                queue.retain(|(_, cost)| *cost > 0);
            }
        }
    }
    let here = leaving(&queue).into_iter().map(|leaves| leaves > u128::from(scene.now) * limit);
    let used: u128 =
        queue.iter().zip(here).filter(|(_, here)| *here).map(|((_, cost), _)| u128::from(*cost)).sum();
    used + u128::from(scene.cost) <= limit
}
