//! A state matters for as long as the strategy says, and no longer.

use proptest::prelude::{any, prop_assert, prop_assert_eq};

use super::cases;
use super::*;

#[test]
fn what_is_kept_is_forgotten_without_a_trace() {
    for case in cases::all() {
        let strategy = &*case.strategy;
        let rates = case.rates();
        let moves = proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u8>()), 1..20);
        let input = (any::<usize>(), moves, any::<u64>());
        prove(&case, 60, &input, |(choice, moves, random)| {
            let rate = &rates[choice % rates.len()];
            let (state, now, verdict) = account(&case, rate, &moves);
            let capacity = strategy.capacity(rate);
            prop_assert_eq!(
                verdict.keep_for == 0,
                state == State::Empty,
                "{} {:?} {:?}",
                rate,
                state,
                verdict
            );
            prop_assert!(verdict.reset_after <= verdict.keep_for);
            for later in [0, 1, random % rate.period_micros(), 3 * rate.period_micros()] {
                for cost in [1, 1 + random % capacity, capacity, capacity + 1] {
                    let ask = ask(Op::Check, now + verdict.keep_for + later, rate, cost, who(11));
                    let (kept, forgotten) =
                        (peek(strategy, &state, &ask), peek(strategy, &State::Empty, &ask));
                    prop_assert_eq!(kept, forgotten, "{} {:?} at {}: {:?}", rate, state, ask.now, verdict);
                }
            }
            // Nor does it matter under another limit that shares the account.
            let other = rate.with_limit(1 + random % (2 * rate.limit()).min(1 << 40));
            if strategy.validate(&other).is_ok() && strategy.tag(&other) == strategy.tag(rate) {
                for cost in [1, 1 + random % strategy.capacity(&other)] {
                    let ask = ask(Op::Check, now + verdict.keep_for, &other, cost, who(11));
                    let (kept, forgotten) =
                        (peek(strategy, &state, &ask), peek(strategy, &State::Empty, &ask));
                    prop_assert_eq!(kept, forgotten, "{} after {} {:?}: {:?}", other, rate, state, verdict);
                }
            }
            // Nor is it kept a microsecond too long: one microsecond earlier the account is not yet full.
            if verdict.keep_for == verdict.reset_after && verdict.keep_for > 0 && !case.fickle {
                let look = |state: &State| {
                    peek(strategy, state, &ask(Op::Check, now + verdict.keep_for - 1, rate, 1, who(11)))
                        .remaining
                };
                prop_assert!(look(&state) < look(&State::Empty), "{rate} {state:?} at {now}: {verdict:?}");
            }
            Ok(())
        });
    }
}
