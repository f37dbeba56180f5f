//! While a new version of a program is rolled out, two versions share a store: with other limits, other parameters or
//! other strategies under the same uid. Each reads what the other wrote, or keeps accounts of its own.

use std::time::Duration;

use traffik::strategy::{
    Adaptive, CostAdaptive, FixedWindow, Gcra, IntoStrategy, LeakyBucket, LeakyQueue, PriorityReserve,
    Rollover, SlidingLog, SlidingWindow, Tiered, TimeOfDay, TokenBucket,
};
use traffik::test_kit::ManualClock;
use traffik::{Priority, Throttle, hit_all};
use traffik_tests::{Random, RedisServer, seeds};

use crate::support::{manual, throttle};

type Shared = std::sync::Arc<dyn traffik::strategy::Strategy>;

/// Every strategy as it was, and as it is in the next version.
fn versions() -> Vec<[Shared; 2]> {
    let normal = |percent| PriorityReserve::new().share(Priority::Normal, percent).into_strategy();
    vec![
        [FixedWindow::new().into_strategy(), FixedWindow::new().staggered().into_strategy()],
        [SlidingWindow::new().into_strategy(), SlidingWindow::new().into_strategy()],
        [SlidingLog::new().into_strategy(), SlidingLog::new().into_strategy()],
        [TokenBucket::new().burst(9).into_strategy(), TokenBucket::new().burst(4).debt(3).into_strategy()],
        [LeakyBucket::new().into_strategy(), LeakyBucket::new().into_strategy()],
        [LeakyQueue::new().into_strategy(), LeakyQueue::new().into_strategy()],
        [Gcra::new().burst(2).into_strategy(), Gcra::new().burst(7).into_strategy()],
        [Tiered::new().into_strategy(), Tiered::new().others(3).into_strategy()],
        [normal(20), normal(30)],
        [Rollover::new().percent(10).into_strategy(), Rollover::new().percent(90).cap(2).into_strategy()],
        [
            TimeOfDay::new().hours(0, 24, 50).into_strategy(),
            TimeOfDay::new().hours(3, 9, 300).into_strategy(),
        ],
        [Adaptive::new().into_strategy(), Adaptive::new().floor(90).threshold(5).into_strategy()],
        [CostAdaptive::new().last(64).into_strategy(), CostAdaptive::new().last(1).normal(9).into_strategy()],
    ]
}

const RATES: [&str; 5] = ["10/min", "40/min", "10/hour", "1000/min", "3_000_000/hour"];

#[tokio::test]
async fn two_versions_never_take_each_others_accounts_for_garbage() {
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let backend = manual(&server, clock.clone()).await;
    let all: Vec<Shared> = versions().into_iter().flatten().collect();
    for seed in seeds(6) {
        let random = &mut Random::new(seed);
        for pair in versions() {
            server.command::<()>(&["FLUSHALL"]);
            let mut build = |uid: &str, strategy: &Shared| -> Throttle {
                loop {
                    let rate = *random.pick(&RATES);
                    let built =
                        throttle(uid, rate).strategy(strategy.clone()).backend(backend.clone()).build();
                    if let Ok(throttle) = built {
                        return throttle;
                    }
                }
            };
            let mut versions: Vec<Throttle> = pair.iter().map(|strategy| build("same", strategy)).collect();
            // And one that has moved on to another strategy.
            versions.push(build("same", &all[seed as usize % all.len()]));
            let beside = build("beside", &pair[0]);
            server.reset_stats();
            for _ in 0..60 {
                clock.advance(Duration::from_micros(random.below(9_000_000)));
                let version = random.pick(&versions);
                let cost = 1 + random.below(4);
                match random.below(5) {
                    0 => drop(hit_all([version, &beside], "ann").await.unwrap()),
                    1 => drop(version.check("ann").cost(cost).await.unwrap()),
                    _ => drop(version.hit("ann").cost(cost).await.unwrap()),
                }
            }
            // Nothing was reset or refunded, so a deleted key would have been unreadable.
            assert_eq!(server.commandstats().get("del"), None, "{pair:?}, seed {seed}");
        }
    }
}
