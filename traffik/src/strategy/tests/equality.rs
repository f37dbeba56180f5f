//! Random traces: every step agrees with the definition, to the unit and the microsecond.

use proptest::prelude::{TestCaseError, any, prop_assert, prop_assert_eq};
use proptest::strategy::Strategy as _;

use super::cases::{self, Case};
use super::model::{Event, Scene, What};
use super::*;

/// One step of a trace. Its numbers are mapped to instants and costs that are interesting for the rate.
#[derive(Debug, Clone, Copy)]
struct Move {
    advance: (u8, u64),
    cost: (u8, u64),
    op: u8,
    who: u8,
}

fn moves() -> impl proptest::prelude::Strategy<Value = Move> {
    ((0_u8..14, any::<u64>()), (0_u8..10, any::<u64>()), 0_u8..40, 0_u8..12)
        .prop_map(|(advance, cost, op, who)| Move { advance, cost, op, who })
}

impl Move {
    /// How far the clock advances. `wait` is the last wait that was reported.
    fn advance(&self, now: u64, rate: &Rate, wait: u64) -> u64 {
        let (period, (way, random)) = (rate.period_micros(), self.advance);
        match way {
            0..=3 => 0,
            4 => 1,
            5 => random % (period / rate.limit() + 2),
            6 => random % period,
            7 => period - now % period,
            8 => (period - now % period).saturating_sub(1),
            9 => period,
            10 => random % (3 * period),
            11 => wait,
            12 => wait.saturating_sub(1),
            _ => random % (period / 16 + 1),
        }
    }

    /// What the step costs. `last` is the most that would have passed before.
    fn cost(&self, capacity: u64, last: u64) -> u64 {
        let (way, random) = self.cost;
        match way {
            0..=2 => 1,
            3 => 1 + random % 5,
            4 => last.max(1),
            5 => last + 1,
            6 => capacity,
            7 => capacity + 1,
            8 => 1 + random % capacity.div_ceil(3),
            _ => 1 + random % capacity,
        }
    }

    /// The limit that applies from this step on, if it changes the limit.
    fn limit(&self, rate: &Rate) -> Option<u64> {
        (self.op == 39).then(|| 1 + self.cost.1 % (2 * rate.limit()).min(1 << 40))
    }

    /// The operation; `charged` is the instant of a charge that it may refund.
    fn op(&self, now: u64, rate: &Rate, charged: Option<u64>) -> Op {
        let (way, random) = self.cost;
        match self.op {
            0..=26 => Op::Hit,
            27..=31 => Op::Check,
            32..=33 => Op::Refund { at: None },
            34..=36 => Op::Refund { at: charged },
            37 => Op::Refund { at: Some(now.saturating_sub(random % (2 * rate.period_micros()))) },
            38 if way == 0 => Op::Reset,
            _ => Op::Hit,
        }
    }
}

/// The history of one account.
struct Account<'a> {
    case: &'a Case,
    rate: Rate,
    who: Who<'static>,
    history: Vec<Event>,
}

impl Account<'_> {
    fn passes(&self, now: u64, cost: u64) -> bool {
        let scene = Scene { rate: &self.rate, who: self.who, history: &self.history, now, cost };
        (self.case.passes)(&scene)
    }

    fn passes_when_new(&self, now: u64, cost: u64) -> bool {
        let scene = Scene { rate: &self.rate, who: self.who, history: &[], now, cost };
        (self.case.passes)(&scene)
    }

    /// Finds the largest cost that passes now, by bisection.
    fn remaining(&self, passes: impl Fn(u64) -> bool) -> u64 {
        let (mut least, mut most) = (0, 1);
        while passes(most) {
            (least, most) = (most, most * 2);
        }
        while most - least > 1 {
            let middle = least + (most - least) / 2;
            *(if passes(middle) { &mut least } else { &mut most }) = middle;
        }
        least
    }

    /// Returns how long it takes until the cost passes, or `NEVER`.
    fn wait(&self, now: u64, cost: u64) -> u64 {
        if self.passes(now, cost) {
            return 0;
        }
        if self.case.fickle {
            let edge = |from: u64, step: u64, shift: u64| from + step - (from + shift) % step;
            let window = edge(now, self.rate.period_micros(), 0);
            let mut edges: Vec<u64> =
                [now, window].iter().flat_map(|from| (0..50).map(move |n| from + n * HOUR)).collect();
            edges = edges.into_iter().map(|from| edge(from, 15 * MINUTE, 0)).collect();
            edges = edges.iter().flat_map(|from| (0..4).map(move |n| from + n * 15 * MINUTE)).collect();
            edges.extend((0..300).map(|n| window + n * self.rate.period_micros()));
            edges.sort_unstable();
            return edges.into_iter().find(|at| self.passes(*at, cost)).map_or(Verdict::NEVER, |at| at - now);
        }
        if !self.passes_when_new(now, cost) {
            return Verdict::NEVER;
        }
        let (mut least, mut most) = (0, 1);
        while !self.passes(now + most, cost) {
            (least, most) = (most, most * 2);
        }
        while most - least > 1 {
            let middle = least + (most - least) / 2;
            *(if self.passes(now + middle, cost) { &mut most } else { &mut least }) = middle;
        }
        most
    }
}

fn follow(case: &Case, rates: &[Rate], choice: usize, trace: &[Move]) -> Result<(), TestCaseError> {
    let strategy = &*case.strategy;
    let mut rate = rates[choice % rates.len()];
    let mut accounts: std::collections::BTreeMap<String, (State, Vec<Event>)> = Default::default();
    let mut gone = std::collections::BTreeMap::new();
    let (mut now, mut wait) = (START, 0_u64);
    let mut last = strategy.capacity(&rate);
    for (number, step) in trace.iter().enumerate() {
        let period = rate.period_micros();
        now += step.advance(now, &rate, wait);
        // Packed states only represent years up to 2112.
        if now > START.saturating_add(case.span * period) || now > 1 << 52 {
            break;
        }
        let who = who(step.who);
        let cost = step.cost(strategy.capacity(&rate), last);
        if let Some(limit) = step.limit(&rate) {
            let other = rate.with_limit(limit);
            if strategy.validate(&other).is_ok() {
                rate = other;
            }
            continue;
        }
        let (state, history) = accounts.entry(strategy.tag(&rate)).or_default();
        let (_, random) = step.cost;
        let charge = history.get(random as usize % history.len().max(1)).copied();
        // The time at which the account would have been full again, as reported for the charge itself.
        let known = charge.and_then(|charge| gone.get(&charge.now).copied());
        let gone_at = match step.who % 4 {
            0 => u64::MAX,
            1 => now.saturating_add(random % period),
            _ => known.unwrap_or(u64::MAX),
        };
        let op = step.op(now, &rate, charge.map(|charge| charge.now));

        let before = state.clone();
        let verdict = strategy.step(state, &Ask { gone_at, ..ask(op, now, &rate, cost, who) });
        let mut account = Account { case, rate, who, history: std::mem::take(history) };
        let context =
            || format!("{} {rate} step {number}: {op:?} cost {cost} at {now}, {before:?}", strategy.name());
        let asked = matches!(op, Op::Hit | Op::Check);
        prop_assert_eq!(verdict.admitted, !asked || account.passes(now, cost), "admitted: {}", context());
        if verdict.admitted {
            match op {
                Op::Hit => {
                    account.history.push(Event { now, what: What::Charge, cost, limit: rate.limit() });
                    gone.insert(now, now + verdict.reset_after);
                }
                Op::Refund { at } => {
                    let what = What::Refund { at: at.unwrap_or(now), gone_at };
                    account.history.push(Event { now, what, cost, limit: rate.limit() });
                }
                Op::Reset => account.history.clear(),
                Op::Check | Op::Settle { .. } => {}
            }
            prop_assert_eq!(verdict.wait, 0, "{}", context());
        } else {
            prop_assert_eq!(verdict.wait, account.wait(now, cost), "wait: {}", context());
            wait = verdict.wait % (case.span * period);
        }
        if !(op.changes() && verdict.admitted) {
            prop_assert_eq!(&*state, &before, "changed: {}", context());
        }
        last = account.remaining(|cost| account.passes(now, cost));
        prop_assert_eq!(verdict.remaining, last, "remaining: {}", context());
        if !case.fickle {
            let full = account.remaining(|cost| account.passes_when_new(now, cost));
            prop_assert_eq!(verdict.reset_after, account.wait(now, full), "reset_after: {}", context());
        }
        prop_assert!(verdict.used >= verdict.limit.saturating_sub(verdict.remaining), "{}", context());
        let words = match &*state {
            State::Words(words) => words.to_vec(),
            State::Bytes(bytes) => bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            State::Empty => Vec::new(),
        };
        let lua = strategy.twin().is_none() || words.iter().all(|word| *word < crate::strategy::EXACT);
        prop_assert!(lua, "too large for Lua: {:?}, {}", words, context());
        *history = account.history;
    }
    Ok(())
}

fn run(cases: Vec<Case>) {
    for case in cases {
        let rates = case.rates();
        let traces = (any::<usize>(), proptest::collection::vec(moves(), 1..60));
        prove(&case, case.traces, &traces, |(choice, trace)| follow(&case, &rates, choice, &trace));
    }
}

#[test]
fn windows_are_what_they_say() {
    run(cases::windows());
}

#[test]
fn buckets_are_what_they_say() {
    run(cases::buckets());
}

#[test]
fn the_narrower_strategies_are_what_they_say() {
    run(cases::narrow());
}
