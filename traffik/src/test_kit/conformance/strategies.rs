//! The strategies under test, and their rates.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::{Identity, Priority};
use crate::rate::Rate;
use crate::strategy::{
    Adaptive, CostAdaptive, FixedWindow, Gcra, LeakyBucket, LeakyQueue, PriorityReserve, Rollover,
    SlidingLog, SlidingWindow, Strategy, Tiered, TimeOfDay, TokenBucket,
};

/// The strategies that a store may implement in its own language.
pub(super) fn core() -> Vec<Arc<dyn Strategy>> {
    vec![
        Arc::new(FixedWindow::new()),
        Arc::new(FixedWindow::new().staggered()),
        Arc::new(SlidingWindow::new()),
        Arc::new(SlidingLog::new()),
        Arc::new(TokenBucket::new()),
        Arc::new(TokenBucket::new().burst(50).debt(7)),
        Arc::new(LeakyBucket::new()),
        Arc::new(LeakyQueue::new()),
        Arc::new(Gcra::new()),
        Arc::new(Gcra::new().burst(7)),
    ]
}

/// All other strategies.
pub(super) fn narrow() -> Vec<Arc<dyn Strategy>> {
    vec![
        Arc::new(Tiered::new().tier("premium", 10).others(2)),
        Arc::new(PriorityReserve::new()),
        Arc::new(Rollover::new()),
        Arc::new(Adaptive::new()),
        Arc::new(TimeOfDay::new().hours(0, 6, 300).hours(9, 17, 50).utc_offset(-345)),
        Arc::new(CostAdaptive::new().normal(4)),
    ]
}

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// The rates that a strategy is tested with, from two in a leap year to a thousand million a
/// second.
pub(super) fn rates(strategy: &dyn Strategy) -> Vec<Rate> {
    let rates = [
        (10, 60 * SECOND),
        (100, 3_600 * SECOND),
        (7, 11),
        (20, 7_919),
        (999_983, 60 * SECOND),
        (1_000_000, DAY),
        (2, 366 * DAY),
        (1_000_000_000, 366 * DAY),
        (1_000_000_000, SECOND),
        ((1 << 44) - 1, DAY),
        ((1 << 53) - 1, 36_525 * DAY),
    ];
    let rates =
        rates.into_iter().filter_map(|(limit, period)| Rate::new(limit, Duration::from_micros(period)).ok());
    rates.filter(|rate| strategy.validate(rate).is_ok()).collect()
}

/// Creates a client whose tier and priority depend on `choice`.
pub(super) fn client(name: &str, choice: u64) -> Identity {
    let priorities = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];
    let identity = Identity::key(name).priority(priorities[choice as usize / 2 % 4]);
    if choice.is_multiple_of(2) { identity.tier("premium") } else { identity }
}
