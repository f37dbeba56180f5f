//! Checks the strategies against reference models. Each model recomputes the definition from scratch, from a
//! plain list of events, with 128-bit integers and without optimizations.
//!
//! `TRAFFIK_LONG=1` runs fifty times as many traces.

mod cases;
mod clock;
mod drift;
mod equality;
mod garbage;
mod keeping;
mod knobs;
mod model;
mod model_narrow;
mod rewrites;

use proptest::test_runner::{Config, RngSeed};

use super::{Ask, Op, State, Strategy, Verdict};
use crate::identity::{KindRef, Priority, Who};
use crate::rate::Rate;

/// A week after 2020-01-01, plus an offset so that it is not at the start of a period of any length.
const START: u64 = 1_578_441_600_000_000 + 123_456_789;

/// Uses the same seed in every run, so that failures are reproducible.
fn config(cases: u32) -> Config {
    let long = std::env::var_os("TRAFFIK_LONG").is_some_and(|value| value != "0");
    Config {
        cases: if long { cases * 50 } else { cases },
        rng_seed: RngSeed::Fixed(0x74_7261_6666_696b),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    }
}

/// Runs the test on random inputs. A failure reports the strategy, the smallest failing input, and the seed.
fn prove<S: proptest::strategy::Strategy>(
    case: &cases::Case,
    traces: u32,
    input: &S,
    test: impl Fn(S::Value) -> Result<(), proptest::test_runner::TestCaseError>,
) {
    let mut runner = proptest::test_runner::TestRunner::new(config(traces));
    if let Err(error) = runner.run(input, test) {
        panic!("{:?}, seed {}: {error}", case.strategy, config(0).rng_seed);
    }
}

fn rate(limit: u64, period_micros: u64) -> Rate {
    Rate::new(limit, std::time::Duration::from_micros(period_micros)).expect("a rate within the bounds")
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// From one unit in a leap year to almost a million per microsecond, including fractions that do not divide evenly.
fn rates() -> Vec<Rate> {
    vec![
        rate(1, 366 * DAY),
        rate(1_000_000_000, 366 * DAY),
        rate(1_000_000_000, SECOND),
        rate(999_983, MINUTE),
        rate(1_000_000, DAY),
        rate(5, MINUTE),
        rate(1, SECOND),
        rate(3, SECOND),
        rate(7, 11),
        rate(13, 1_000),
        rate(20, 7_919),
        rate(100, HOUR),
        rate(1, 1),
        rate(999_983, 1),
        rate((1 << 52) - 1, DAY),
        rate((1 << 53) - 1, 36_525 * DAY),
    ]
}

/// Returns a client of one of three tiers and one of four priorities.
fn who(choice: u8) -> Who<'static> {
    let tier = [None, Some("premium"), Some("unheard of")][usize::from(choice % 3)];
    let priority =
        [Priority::Low, Priority::Normal, Priority::High, Priority::Critical][usize::from(choice / 3 % 4)];
    Who { tier, priority, ..Who::of(KindRef::Anonymous) }
}

/// The phase by which staggered windows are shifted.
const PHASE: u64 = 0x9e37_79b9_7f4a_7c15;

fn ask<'a>(op: Op, now: u64, rate: &'a Rate, cost: u64, who: Who<'a>) -> Ask<'a> {
    Ask { who, phase: PHASE, ..Ask::new(op, now, rate, cost) }
}

/// Creates a random account by a few hits and refunds of random costs. Returns its state, the current time,
/// and a verdict that describes the state at that time.
fn account(case: &cases::Case, rate: &Rate, moves: &[(u64, u64, u8)]) -> (State, u64, Verdict) {
    let (mut state, mut now) = (State::Empty, START);
    let mut verdict = peek(&*case.strategy, &state, &ask(Op::Check, now, rate, 1, who(2)));
    for (advance, cost, choice) in moves {
        now += advance % (rate.period_micros() / 2 + 1);
        let op = if choice % 8 == 0 { Op::Refund { at: None } } else { Op::Hit };
        let most = case.strategy.capacity(rate);
        let step = case.strategy.step(&mut state, &ask(op, now, rate, 1 + cost % most, who(*choice)));
        if step.admitted {
            verdict = step;
        }
        if *choice % 3 == 0 {
            // Move to the instant at which the account is full again, or up to two microseconds before it.
            now += step.reset_after.saturating_sub(cost % 3);
        } else if step.admitted {
            continue;
        }
        // A refund of nothing reports the state as of now.
        let none = case.strategy.step(&mut state, &ask(Op::Refund { at: None }, now, rate, 0, who(2)));
        verdict = none;
    }
    (state, now, verdict)
}

/// Takes a step on a copy of the state.
fn peek(strategy: &dyn Strategy, state: &State, ask: &Ask<'_>) -> Verdict {
    strategy.step(&mut state.clone(), ask)
}
