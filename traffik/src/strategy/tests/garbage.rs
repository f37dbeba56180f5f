//! States that no strategy wrote: no panic, and no client is refused forever.

use proptest::prelude::{Just, any, prop_assert, prop_oneof};
use proptest::strategy::Strategy as _;

use super::cases;
use super::*;

fn word() -> impl proptest::prelude::Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..1_u64 << 53,
        START - 2 * DAY..START + 2 * DAY,
        START..START + MINUTE,
        Just(0),
        Just(u64::MAX),
        0..100_u64,
    ]
}

fn garbage() -> impl proptest::prelude::Strategy<Value = State> {
    let words = || proptest::collection::vec(word(), 0..12);
    prop_oneof![
        (word(), word()).prop_map(|(first, second)| State::Words([first, second])),
        proptest::collection::vec(any::<u8>(), 0..100).prop_map(State::Bytes),
        // Layouts that look plausible: whole words, possibly sorted.
        words().prop_map(|words| State::Bytes(words.iter().flat_map(|word| word.to_le_bytes()).collect())),
        words().prop_map(|mut words| {
            words.sort_unstable();
            State::Bytes(words.iter().flat_map(|word| word.to_le_bytes()).collect())
        }),
    ]
}

#[test]
fn garbage_neither_panics_nor_refuses_for_ever() {
    for case in cases::all() {
        let strategy = &*case.strategy;
        let rates = case.rates();
        let ops = proptest::collection::vec((0_u8..5, any::<u64>(), any::<u64>()), 1..12);
        let input = (any::<usize>(), garbage(), ops);
        prove(&case, 300, &input, |(choice, garbage, ops)| {
            let rate = &rates[choice % rates.len()];
            let (mut state, mut now) = (garbage.clone(), START);
            for (op, cost, advance) in ops {
                let op =
                    [Op::Hit, Op::Check, Op::Refund { at: None }, Op::Refund { at: Some(now / 2) }, Op::Hit]
                        [usize::from(op)];
                strategy.step(&mut state, &ask(op, now, rate, cost, who(11)));
                let most = strategy.capacity(rate);
                let verdict = strategy.step(&mut state, &ask(op, now, rate, 1 + cost % most, who(11)));
                prop_assert!(verdict.remaining <= most, "{rate} {garbage:?}: {verdict:?}");
                now += advance % rate.period_micros();
            }
            // A refusal may last for as long as a believable state can lie ahead of the clock, plus the time in
            // which an account fills up again.
            let full = rate.period_micros() * (2 + strategy.capacity(rate).div_ceil(rate.limit())) * 40;
            let far = START + DAY.max(full) + full;
            let passes = |at| peek(strategy, &garbage, &ask(Op::Hit, at, rate, 1, who(11))).admitted;
            prop_assert!(
                passes(START) || passes(far) || (case.fickle && passes(far + 2 * HOUR)),
                "{rate} {garbage:?}"
            );
            Ok(())
        });
    }
}

#[test]
fn a_state_of_another_century_is_none() {
    for case in cases::all().into_iter().filter(|case| !case.fickle) {
        let rate = rate(5, MINUTE);
        let far = START + 100 * 366 * DAY;
        let mut state = State::Empty;
        while case.strategy.step(&mut state, &ask(Op::Hit, far, &rate, 1, who(9))).admitted {}
        let mut fresh = State::Empty;
        // Nor does the first hit bring it back.
        for op in [Op::Hit, Op::Check] {
            let ask = ask(op, START, &rate, 1, who(9));
            let verdict = case.strategy.step(&mut state, &ask);
            assert_eq!(verdict, case.strategy.step(&mut fresh, &ask), "{:?} {state:?}", case.strategy);
        }
    }
}

#[test]
fn a_clock_at_the_epoch_is_no_trouble() {
    for case in cases::all() {
        for rate in case.rates() {
            let mut state = State::Empty;
            for now in [0, 0, 1, 2, 1_000, MINUTE] {
                case.strategy.step(&mut state, &ask(Op::Hit, now, &rate, 1, who(9)));
                case.strategy.step(&mut state, &ask(Op::Refund { at: Some(0) }, now, &rate, 1, who(9)));
            }
        }
    }
}
