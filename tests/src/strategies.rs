//! All strategies by name, for tests that treat them alike.

use std::sync::Arc;

use traffik::Priority;
use traffik::strategy::{
    Adaptive, CostAdaptive, FixedWindow, Gcra, LeakyBucket, LeakyQueue, PriorityReserve, Rollover,
    SlidingLog, SlidingWindow, Strategy, Tiered, TimeOfDay, TokenBucket,
};

/// Returns every strategy.
///
/// `token_bucket` and `gcra` hold `burst` units, and `debtor` a tenth more. The others go by the limit of the
/// rate: `priority_reserve` and `time_of_day` grant an anonymous client half of it, and
/// `rollover` up to a tenth more.
#[must_use]
pub fn strategies(burst: u64) -> Vec<(&'static str, Arc<dyn Strategy>)> {
    let shares = PriorityReserve::new().share(Priority::Low, 20).share(Priority::Normal, 30);
    vec![
        ("fixed_window", Arc::new(FixedWindow::new())),
        ("staggered", Arc::new(FixedWindow::new().staggered())),
        ("sliding_window", Arc::new(SlidingWindow::new())),
        ("sliding_log", Arc::new(SlidingLog::new())),
        ("token_bucket", Arc::new(TokenBucket::new().burst(burst))),
        ("debtor", Arc::new(TokenBucket::new().burst(burst).debt(burst.div_ceil(10)))),
        ("leaky_bucket", Arc::new(LeakyBucket::new())),
        ("leaky_queue", Arc::new(LeakyQueue::new())),
        ("gcra", Arc::new(Gcra::new().burst(burst))),
        ("tiered", Arc::new(Tiered::new().tier("premium", 2))),
        ("priority_reserve", Arc::new(shares)),
        ("rollover", Arc::new(Rollover::new().percent(10))),
        ("time_of_day", Arc::new(TimeOfDay::new().hours(0, 24, 50))),
        ("adaptive", Arc::new(Adaptive::new())),
        ("cost_adaptive", Arc::new(CostAdaptive::new())),
    ]
}
