//! Strategies that are not part of the library.

use std::sync::Arc;
use std::time::Duration;

use super::oracle::{Suite, traces};
use crate::backend::{Op, Verdict};
use crate::rate::Rate;
use crate::strategy::{Ask, State, Strategy};

/// A budget that is never refilled, in two words that use all 64 bits.
#[derive(Debug)]
struct Budget;

const MARK: u64 = u64::MAX;

impl Strategy for Budget {
    fn name(&self) -> &str {
        "conformance_budget"
    }

    fn validate(&self, _: &Rate) -> Result<(), String> {
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let used = state.words().map_or(0, |[_, rest]| MARK - rest);
        let limit = ask.rate.limit();
        let (admitted, after) = match ask.op {
            Op::Check | Op::Settle { .. } => (used + ask.cost <= limit, used),
            Op::Hit if used + ask.cost > limit => (false, used),
            Op::Hit => (true, used + ask.cost),
            Op::Refund { .. } => (true, used.saturating_sub(ask.cost)),
            Op::Reset => (true, 0),
        };
        if admitted && ask.op.changes() {
            *state = if after == 0 { State::Empty } else { State::Words([MARK, MARK - after]) };
        }
        verdict(admitted, limit, after, ask.rate.period_micros())
    }
}

/// A set of milliseconds (their low bytes), each of which passes once.
#[derive(Debug)]
struct Instants;

impl Strategy for Instants {
    fn name(&self) -> &str {
        "conformance_instants"
    }

    fn validate(&self, _: &Rate) -> Result<(), String> {
        Ok(())
    }

    fn capacity(&self, _: &Rate) -> u64 {
        256
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let mut bytes = if let State::Bytes(bytes) = state { bytes.clone() } else { Vec::new() };
        let byte = (ask.now / 1_000) as u8;
        let known = bytes.contains(&byte);
        match ask.op {
            Op::Hit if !known => bytes.push(byte),
            Op::Refund { .. } => bytes.retain(|held| *held != byte),
            Op::Reset => bytes.clear(),
            Op::Hit | Op::Check | Op::Settle { .. } => {}
        }
        let admitted = !matches!(ask.op, Op::Hit | Op::Check) || !known;
        let used = bytes.len() as u64;
        if admitted && ask.op.changes() {
            *state = if bytes.is_empty() { State::Empty } else { State::Bytes(bytes) };
        }
        verdict(admitted, 256, used, ask.rate.period_micros())
    }
}

fn verdict(admitted: bool, limit: u64, used: u64, keep: u64) -> Verdict {
    let keep = if used == 0 { 0 } else { keep };
    let wait = if admitted { 0 } else { Verdict::NEVER };
    let remaining = limit.saturating_sub(used);
    Verdict { admitted, limit, used, remaining, wait, reset_after: keep, keep_for: keep }
}

/// Custom strategies are counted like any other, in batches too.
pub(super) async fn own_strategies(mut suite: Suite) {
    let strategies: [Arc<dyn Strategy>; 2] = [Arc::new(Budget), Arc::new(Instants)];
    for round in 0..traces(4) {
        let policies = [("conformance:budget", &strategies[0]), ("conformance:instants", &strategies[1])]
            .map(|(uid, strategy)| suite.policy(uid, Rate::per_day(20), strategy));
        let name = suite.name(&round.to_string());
        for _ in 0..60 {
            let advance = suite.random.below(3);
            suite.clock.advance(Duration::from_millis(advance));
            let cost = 1 + suite.random.below(4);
            let both = policies.each_ref().map(|policy| suite.asked(policy, name.as_str(), cost));
            let from = suite.random.below(2) as usize;
            let asked = if suite.random.below(3) == 0 { &both[from..=from] } else { &both[..] };
            let op = match suite.random.below(12) {
                0 => Op::Check,
                1 => Op::Refund { at: None },
                2 if cost == 1 => Op::Reset,
                3 => Op::Settle { at: 0 },
                _ => Op::Hit,
            };
            suite.agree(op, asked).await;
        }
    }
}
