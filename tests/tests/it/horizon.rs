//! Memory and Redis report the same numbers for the longest periods, at any time that Redis can tell: up to 2^53
//! microseconds since the Unix epoch, where instants in the future are no longer exact in Lua.

use std::time::Duration;

use traffik::strategy::EXACT;
use traffik::{Throttle, hit_all};
use traffik_tests::{Random, RedisServer, seeds, strategies};

use crate::support::{mirrored, throttle};

/// Up to the longest period that a rate can have.
const RATES: [&str; 6] =
    ["5/36525 days", "1_000_003/36525 days", "7/36500 days", "3/9131 days", "11/1000 days", "1000/day"];

/// Returns an instant between the epoch and the last one, often close to the edge of a window.
fn instant(random: &mut Random, period: u64) -> u64 {
    let any = random.below(EXACT);
    let near = match random.below(4) {
        0 => EXACT - 1 - random.below(1_000),
        1 => any / period * period + random.below(3),
        2 => (any / period * period).saturating_sub(1 + random.below(3)),
        _ => any,
    };
    near.min(EXACT - 1)
}

async fn step(random: &mut Random, throttles: &[Throttle]) {
    let throttle = random.pick(throttles);
    let limit = throttle.rate().unwrap().limit();
    let cost = match random.below(4) {
        0 => random.below(limit + 2),
        1 => limit,
        _ => 1 + random.below(3),
    };
    match random.below(12) {
        0 => throttle.refund("ann", cost).await.unwrap(),
        1 => throttle.reset("ann").await.unwrap(),
        2 | 3 => drop(throttle.check("ann").cost(cost).await.unwrap()),
        4 | 5 => drop(hit_all(throttles, "ann").await.unwrap()),
        _ => drop(throttle.hit("ann").cost(cost).await.unwrap()),
    }
}

#[tokio::test]
async fn memory_and_redis_agree_up_to_the_last_instant() {
    let server = RedisServer::start();
    for seed in seeds(40) {
        let random = &mut Random::new(seed);
        for (name, strategy) in strategies(5) {
            let (clock, mirror) = mirrored(&server).await;
            let rate = *random.pick(&RATES);
            let Ok(throttle) = throttle(name, rate).strategy(strategy).backend(mirror).build() else {
                continue;
            };
            let period = throttle.rate().unwrap().period_micros();
            let throttles = [throttle];
            let mut now = instant(random, period);
            for _ in 0..12 {
                clock.set(Duration::from_micros(now));
                step(random, &throttles).await;
                let onwards = match random.below(4) {
                    0 => 0,
                    1 => period / 7,
                    2 => random.below(3 * period),
                    _ => 1 + random.below(period / 100),
                };
                now = (now + onwards).min(EXACT - 1);
            }
        }
    }
}
