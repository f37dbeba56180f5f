//! Memory and Redis report the same numbers, to the microsecond, over random traces of advancing clocks,
//! hits, checks, refunds, resets and changed rates.

use std::time::{Duration, Instant};

use traffik::strategy::{CostAdaptive, IntoStrategy, TokenBucket};
use traffik::test_kit::ManualClock;
use traffik::{MemoryBackend, Rate, RedisBackend, SharedBackend, Throttle, hit_all};
use traffik_tests::{Mirror, Random, RedisServer, seeds, strategies};

use crate::support::throttle;

/// Rates that divide evenly, rates that don't, and the extremes that can be counted.
const RATES: [&str; 12] = [
    "20/min",
    "5/10s",
    "3/7s",
    "1/11s",
    "7/day",
    "1_000_000/day",
    "999_983/min",
    "1_000_000_000/366 days",
    "1/366 days",
    "1_000_000/s",
    "1000/hour",
    "999_999_937/hour",
];

fn strategy(random: &mut Random) -> std::sync::Arc<dyn traffik::strategy::Strategy> {
    let some = random.below(40) + 1;
    match random.below(4) {
        0 => TokenBucket::new().burst(some).debt(random.below(20)).into_strategy(),
        1 => CostAdaptive::new().last(1 + random.below(5) as usize).normal(some).into_strategy(),
        _ => random.pick(&strategies(some)).1.clone(),
    }
}

/// Builds a throttle with a random strategy and a rate that it can count.
fn build(uid: &str, backend: &SharedBackend, random: &mut Random) -> Throttle {
    let strategy = strategy(random);
    loop {
        let rate: &&str = random.pick(&RATES);
        let built = throttle(uid, rate).strategy(strategy.clone()).backend(backend).build();
        if let Ok(throttle) = built {
            return throttle;
        }
    }
}

struct Trace {
    random: Random,
    /// Whether the clock occasionally steps back. If so, only one key is used: the in-memory store drops expired
    /// keys when other keys arrive, and a clock that steps back to before the expiry would reveal that.
    skewed: bool,
    clock: ManualClock,
    throttles: Vec<Throttle>,
    /// The last wait reported.
    wait: Duration,
    /// The last remainder reported.
    remaining: u64,
    passed: u64,
    refused: u64,
}

impl Trace {
    fn advance(&mut self) {
        let rate = self.throttles[0].rate().unwrap();
        let period = rate.period_micros();
        let random = &mut self.random;
        let micros = match random.below(12) {
            0 | 1 => 0,
            2 => 1,
            3 => u64::try_from(self.wait.as_micros()).unwrap(),
            4 => u64::try_from(self.wait.as_micros()).unwrap().saturating_sub(1),
            5 => period,
            6 => period - 1,
            7 => 2 * period + random.below(period),
            8 => period / rate.limit() + random.below(2),
            9 if self.skewed => {
                // Another machine's clock is slightly behind.
                let back = Duration::from_micros(random.below(period.min(2_000_000)));
                self.clock.set(self.clock.now() - back);
                0
            }
            _ => random.below(period) / (1 + random.below(100)),
        };
        self.clock.advance(Duration::from_micros(micros));
    }

    fn cost(&mut self) -> u64 {
        let limit = self.throttles[0].rate().unwrap().limit();
        match self.random.below(10) {
            0 => self.remaining,
            1 => self.remaining.saturating_add(1),
            2 => limit,
            3 => limit + 1,
            4 => u64::MAX - self.random.below(3),
            5 => self.random.below(limit) + 1,
            _ => self.random.below(4) + 1,
        }
    }

    async fn step(&mut self) {
        self.advance();
        let cost = self.cost();
        let throttle = self.throttles[self.random.below(self.throttles.len() as u64) as usize].clone();
        let who = if self.skewed { "ann" } else { *self.random.pick(&["ann", "bob"]) };
        let decision = match self.random.below(16) {
            0 => return throttle.refund(who, cost).await.unwrap(),
            1 if self.random.below(3) == 0 => return throttle.reset(who).await.unwrap(),
            2 if !self.skewed => {
                // Some strategies cannot count every rate. In that case, nothing changes.
                let rate: Rate = self.random.pick(&RATES).parse().unwrap();
                let limit = rate.with_limit(rate.limit() / 2 + 1);
                let _ = throttle.set_rate(if self.random.below(2) == 0 { rate } else { limit });
                return;
            }
            3..6 => throttle.check(who).cost(cost).await.unwrap(),
            6..9 => hit_all(&self.throttles, who).await.unwrap(),
            _ => throttle.hit(who).cost(cost).await.unwrap(),
        };
        if let Some(stat) = decision.stat() {
            self.remaining = stat.remaining;
        }
        match decision.throttled() {
            Some(refused) => {
                self.wait = refused.retry_after().unwrap_or_default();
                self.refused += 1;
            }
            None => self.passed += 1,
        }
    }
}

#[tokio::test]
async fn random_traces() {
    let server = RedisServer::start();
    let (mut passed, mut refused) = (0, 0);
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let clock = ManualClock::new();
        clock.advance(Duration::from_micros(random.below(40_000_000_000_000)));
        let memory = MemoryBackend::builder().clock(clock.clone()).build();
        let redis = RedisBackend::builder(server.url())
            .namespace(format!("seed-{seed}"))
            .timeout(Duration::from_secs(10))
            .clock(clock.clone());
        let mirror = SharedBackend::from(Mirror::new(memory, redis.connect().await.unwrap()));
        let skewed = seed % 3 == 0;
        let count = if skewed { 1 } else { 1 + random.below(3) };
        let throttles = (0..count).map(|index| build(&format!("t{index}"), &mirror, &mut random)).collect();
        let wait = Duration::ZERO;
        let mut trace = Trace { random, skewed, clock, throttles, wait, remaining: 1, passed: 0, refused: 0 };
        let mut last = Instant::now();
        for _ in 0..150 {
            // Redis expires keys in real time, at the earliest a second after they are last needed.
            if last.elapsed() > Duration::from_millis(900) {
                break;
            }
            last = Instant::now();
            trace.step().await;
        }
        passed += trace.passed;
        refused += trace.refused;
    }
    assert!(passed > 0 && refused > 0, "a trace that only passes or only refuses shows little");
    println!("{passed} passed and {refused} refused alike");
}
