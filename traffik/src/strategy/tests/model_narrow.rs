//! The reference models of the strategies for narrower use cases.

use super::model::{Scene, What, fixed_window, last_two_windows, same_window};
use super::*;

pub(super) fn tiered(scene: &Scene<'_>, premium: u64, default: u64) -> bool {
    let times = if scene.who.tier() == Some("premium") { premium } else { default };
    fixed_window(scene, 0, scene.limit() * u128::from(times))
}

/// `ceilings` are cumulative percentages.
pub(super) fn priority_reserve(scene: &Scene<'_>, ceilings: [u64; 4]) -> bool {
    let ceiling = ceilings[scene.who.priority() as usize];
    fixed_window(scene, 0, scene.limit() * u128::from(ceiling) / 100)
}

pub(super) fn rollover(scene: &Scene<'_>, percent: u64, cap: u64) -> bool {
    let period = scene.period();
    let index = |at: u64| u128::from(at) / period;
    let window = index(scene.now);
    let used = |window| scene.used_in(window, index, last_two_windows);
    let unused = scene.limit().saturating_sub(used(window - 1));
    let bonus = (unused * u128::from(percent) / 100).min(cap.into());
    used(window) + u128::from(scene.cost) <= scene.limit() + bonus
}

/// `ranges` are disjoint ranges of local hours that do not wrap around midnight.
pub(super) fn time_of_day(scene: &Scene<'_>, ranges: &[(u64, u64, u64)], offset_minutes: i64) -> bool {
    let local_minute = (scene.now / MINUTE) as i64 + offset_minutes;
    let hour = (local_minute / 60 % 24) as u64;
    let percent =
        ranges.iter().find(|(from, to, _)| (*from..*to).contains(&hour)).map_or(100, |range| range.2);
    fixed_window(scene, 0, scene.limit() * u128::from(percent) / 100)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Knobs {
    pub(super) threshold: u128,
    pub(super) reduction: u128,
    pub(super) recovery: u128,
    pub(super) floor: u128,
}

/// Each window is judged by the limit in force when it was last used.
pub(super) fn adaptive(scene: &Scene<'_>, knobs: Knobs) -> bool {
    let index = |at: u64| u128::from(at) / scene.period();
    let used = |window| scene.used_in(window, index, same_window);
    let limit = |full: u128, factor: u128| (full * factor / 100).max(1);
    let mut factor = 100_u128;
    let first = scene.history.first().map_or(index(scene.now), |event| index(event.now));
    for window in first..index(scene.now) {
        let last = scene.history.iter().rfind(|event| index(event.now) == window);
        let loaded = last
            .is_some_and(|event| used(window) * 100 > limit(event.limit.into(), factor) * knobs.threshold);
        factor = if loaded {
            (factor * knobs.reduction / 100).max(knobs.floor)
        } else {
            (factor + knobs.recovery).min(100)
        };
    }
    used(index(scene.now)) + u128::from(scene.cost) <= limit(scene.limit(), factor)
}

/// The level in units of 1/(100·P), so that L·f of them drain per microsecond.
pub(super) fn cost_adaptive(scene: &Scene<'_>, last: usize, normal: u128, floor: u128) -> bool {
    let unit = scene.period() * 100;
    let factor = |costs: &[u64]| {
        let costs = &costs[costs.len().saturating_sub(last)..];
        let sum: u128 = costs.iter().map(|cost| u128::from(*cost)).sum();
        (normal * 100 * costs.len() as u128).checked_div(sum).map_or(100, |factor| factor.clamp(floor, 100))
    };
    let (mut level, mut before, mut costs) = (0_u128, 0_u64, Vec::new());
    let leak = |level: u128, elapsed: u64, costs: &mut Vec<u64>| {
        let level = level.saturating_sub(u128::from(elapsed) * scene.limit() * factor(costs));
        if level == 0 {
            costs.clear();
        }
        level
    };
    for event in scene.history {
        level = leak(level, event.now - before, &mut costs);
        before = event.now;
        match event.what {
            What::Charge => {
                level += u128::from(event.cost) * unit;
                costs.push(event.cost);
            }
            What::Refund { at, gone_at } => {
                let mut back = u128::from(event.cost).min(scene.limit()) * unit;
                // Refund the share that corresponds to the time left.
                if gone_at <= event.now {
                    back = 0;
                } else if gone_at < u64::MAX && at < event.now {
                    // Rounded like the state counts, in lowest terms.
                    let (_, ticks) = scene.rate.reduced_terms();
                    let times = scene.period() / u128::from(ticks);
                    let (left, whole) = (u128::from(gone_at - event.now), u128::from(gone_at - at));
                    back = back / times * left / whole * times;
                }
                level = level.saturating_sub(back);
                level = leak(level, 0, &mut costs);
            }
        }
    }
    level = leak(level, scene.now - before, &mut costs);
    level + u128::from(scene.cost) * unit <= scene.limit() * unit
}
