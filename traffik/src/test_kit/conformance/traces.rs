//! Every strategy on random traces, one client at a time.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::{Suite, traces};
use super::strategies;
use crate::backend::{Op, Verdict};
use crate::clock::Clock;
use crate::strategy::Strategy;
use crate::test_kit::ManualClock;

pub(super) async fn every_strategy(mut suite: Suite) {
    for round in 0..traces(1) {
        for strategy in strategies::core().into_iter().chain(strategies::narrow()) {
            for rate in 0..strategies::rates(&*strategy).len() {
                trace(&mut suite, &strategy, rate, round).await;
            }
        }
    }
}

/// Runs one client under one strategy, for forty steps.
async fn trace(suite: &mut Suite, strategy: &Arc<dyn Strategy>, rate: usize, round: u64) {
    let rates = strategies::rates(&**strategy);
    let mut rate = rates[rate];
    let name = suite.name(&format!("{}/{rate}/{round}", strategy.name()));
    let mut charged = vec![(Clock::now(&suite.clock), u64::MAX)];
    let (mut remaining, mut wait) = (strategy.capacity(&rate), 0);
    for _ in 0..40 {
        let period = rate.period_micros();
        let now = Clock::now(&suite.clock);
        let advance = match suite.random.below(16) {
            0..=7 => 0,
            8 => 1,
            9 => suite.random.below(period / rate.limit() + 2),
            10 => suite.random.below(period),
            11 => period - now % period,
            12 => suite.random.below(3 * period),
            13 => wait,
            14 => wait.saturating_sub(1),
            _ => suite.random.below(period / 16 + 1),
        };
        // Packed states only represent years up to 2112.
        if now.saturating_add(advance) > 1 << 52 {
            let start = Clock::now(&ManualClock::new());
            suite.clock.set(Duration::from_micros(start));
            return;
        }
        suite.clock.advance(Duration::from_micros(advance));

        let capacity = strategy.capacity(&rate);
        let cost = match suite.random.below(10) {
            0..=2 => 1,
            3 => 1 + suite.random.below(5),
            4 => remaining.max(1),
            5 => remaining + 1,
            6 => capacity,
            7 => capacity + 1,
            8 => 1 + suite.random.below(capacity.div_ceil(3)),
            _ => 1 + suite.random.below(capacity),
        };
        let (at, gone_at) = suite.random.pick(&charged);
        let op = match suite.random.below(20) {
            0 => Op::Refund { at: None },
            1 | 2 => Op::Refund { at: Some(at) },
            3 if suite.random.below(3) == 0 => Op::Reset,
            4..=6 => Op::Check,
            7 => {
                // A changed limit: the key's tag determines whether the account continues or starts
                // afresh.
                let other = rate.with_limit(1 + suite.random.below((2 * rate.limit()).min(1 << 40)));
                if strategy.validate(&other).is_ok() {
                    rate = other;
                }
                continue;
            }
            8 | 9 => Op::Settle { at },
            _ => Op::Hit,
        };
        let policy = suite.policy("conformance:trace", rate, strategy);
        let choice = suite.random.below(8);
        let back = suite.random.below(2) == 0;
        let asked = suite.asked(&policy, strategies::client(&name, choice), cost).back(back).gone_at(gone_at);
        let verdicts = suite.agree(op, &[asked]).await;
        let Some(verdict) = verdicts.each.first() else { continue };
        if op == Op::Hit && verdict.admitted {
            charged.push((verdicts.now, verdicts.now + verdict.reset_after));
        }
        remaining = verdict.remaining;
        wait = if verdict.wait == Verdict::NEVER || op != Op::Hit { 0 } else { verdict.wait % (60 * period) };
    }
}
