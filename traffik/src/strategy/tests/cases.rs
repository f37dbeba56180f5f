//! Every strategy with a few settings of its parameters, next to its model.

use std::sync::Arc;

use super::model::{self, Scene};
use super::model_narrow::{self as narrow, Knobs};
use super::*;
use crate::strategy::*;

type Passes = Box<dyn Fn(&Scene<'_>) -> bool>;

pub(super) struct Case {
    pub(super) strategy: Arc<dyn Strategy>,
    /// Returns whether a hit passes, by definition.
    pub(super) passes: Passes,
    /// Whether the mere passing of time can make a hit fail. If so, the first instant at which it passes is
    /// searched for at the boundaries of hours and windows.
    pub(super) fickle: bool,
    /// How many traces are enough. Some models are slow.
    pub(super) traces: u32,
    /// How many periods a trace may span.
    pub(super) span: u64,
}

fn case(strategy: impl Strategy, passes: impl Fn(&Scene<'_>) -> bool + 'static) -> Case {
    Case { strategy: Arc::new(strategy), passes: Box::new(passes), fickle: false, traces: 200, span: 600 }
}

pub(super) fn windows() -> Vec<Case> {
    vec![
        case(FixedWindow::new(), |scene| model::fixed_window(scene, 0, scene.limit())),
        case(FixedWindow::new().staggered(), |scene| {
            model::fixed_window(scene, PHASE % scene.rate.period_micros(), scene.limit())
        }),
        case(SlidingWindow::new(), model::sliding_window),
        case(SlidingLog::new(), model::sliding_log),
    ]
}

pub(super) fn buckets() -> Vec<Case> {
    vec![
        case(TokenBucket::new(), |scene| model::level(scene, scene.rate.limit())),
        case(TokenBucket::new().burst(1), |scene| model::level(scene, 1)),
        case(TokenBucket::new().burst(50).debt(7), |scene| model::level(scene, 57)),
        case(LeakyBucket::new(), |scene| model::level(scene, scene.rate.limit())),
        case(LeakyQueue::new(), model::leaky_queue),
        case(Gcra::new(), |scene| model::gcra(scene, 1)),
        case(Gcra::new().burst(7), |scene| model::gcra(scene, 7)),
    ]
}

pub(super) fn narrow() -> Vec<Case> {
    let adaptive = Knobs { threshold: 60, reduction: 30, recovery: 7, floor: 3 };
    let working = [(0, 6, 300), (9, 17, 50), (23, 24, 0)];
    vec![
        case(Tiered::new().tier("premium", 10).others(2), |scene| narrow::tiered(scene, 10, 2)),
        case(PriorityReserve::new(), |scene| narrow::priority_reserve(scene, [50, 80, 95, 100])),
        case(PriorityReserve::new().share(Priority::Low, 20).share(Priority::High, 0), |scene| {
            narrow::priority_reserve(scene, [20, 50, 50, 100])
        }),
        case(Rollover::new(), |scene| narrow::rollover(scene, 50, u64::MAX)),
        case(Rollover::new().percent(100).cap(3), |scene| narrow::rollover(scene, 100, 3)),
        Case {
            traces: 16,
            span: 60,
            ..case(Adaptive::new(), |scene| {
                narrow::adaptive(scene, Knobs { threshold: 80, reduction: 50, recovery: 10, floor: 10 })
            })
        },
        Case {
            traces: 16,
            span: 60,
            ..case(Adaptive::new().threshold(60).reduction(30).recovery(7).floor(3), move |scene| {
                narrow::adaptive(scene, adaptive)
            })
        },
        Case {
            fickle: true,
            traces: 25,
            ..case(
                TimeOfDay::new().hours(0, 6, 300).hours(9, 17, 50).hours(23, 0, 0).utc_offset(-345),
                move |scene| narrow::time_of_day(scene, &working, -345),
            )
        },
        Case {
            fickle: true,
            traces: 25,
            ..case(TimeOfDay::new().hours(22, 6, 200).utc_offset(330), |scene| {
                narrow::time_of_day(scene, &[(0, 6, 200), (22, 24, 200)], 330)
            })
        },
        case(CostAdaptive::new(), |scene| narrow::cost_adaptive(scene, 10, 1, 10)),
        case(CostAdaptive::new().last(3).normal(4).floor(33), |scene| narrow::cost_adaptive(scene, 3, 4, 33)),
    ]
}

pub(super) fn all() -> Vec<Case> {
    windows().into_iter().chain(buckets()).chain(narrow()).collect()
}

impl Case {
    /// Returns the rates that this strategy can count.
    pub(super) fn rates(&self) -> Vec<Rate> {
        // Trying every boundary of every window requires windows that are not too short.
        let fits = |rate: &Rate| !self.fickle || rate.period_micros() >= 10 * MINUTE;
        let more = [rate(20, HOUR), rate(1_000, 7 * DAY), rate(1_000, 10 * MINUTE)];
        let all = rates().into_iter().chain(more);
        all.filter(|rate| fits(rate) && self.strategy.validate(rate).is_ok()).collect()
    }
}
