//! Nobody gains from a clock that steps back, and the waits reported in the meantime are correct.

use proptest::prelude::{any, prop_assert};

use super::cases::{self, Case};
use super::*;

fn moves() -> impl proptest::prelude::Strategy<Value = Vec<(u64, u64, u8)>> {
    proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u8>()), 1..20)
}

fn each(test: impl Fn(&Case, &Rate, State, u64, u64) -> Result<(), proptest::test_runner::TestCaseError>) {
    for case in cases::all() {
        let rates = case.rates();
        prove(&case, 60, &(any::<usize>(), moves(), any::<u64>()), |(choice, moves, random)| {
            let rate = &rates[choice % rates.len()];
            let (mut state, now, _) = account(&case, rate, &moves);
            if case.fickle {
                // The limit depends on the hour, and only a client that has used something has the hour on record.
                case.strategy.step(&mut state, &ask(Op::Refund { at: None }, now, rate, 0, who(5)));
                if state == State::Empty {
                    return Ok(());
                }
            }
            test(&case, rate, state, now, random)
        });
    }
}

#[test]
fn a_step_back_frees_nothing() {
    each(|case, rate, state, now, random| {
        let strategy = &*case.strategy;
        let look = |state: &State, at| peek(strategy, state, &ask(Op::Check, at, rate, 1, who(5)));
        let before = look(&state, now);
        for back in [1, random % rate.period_micros() + 1, rate.period_micros(), HOUR, DAY - 1] {
            let (mut state, then) = (state.clone(), now - back.min(DAY - 1));
            let stepped = look(&state, then);
            prop_assert!(
                stepped.remaining <= before.remaining && stepped.admitted <= before.admitted,
                "{rate}, back by {back} from {now}, {state:?}: {before:?} became {stepped:?}"
            );
            // Nor is anything given back once the clock has caught up.
            strategy.step(&mut state, &ask(Op::Hit, then, rate, 1, who(5)));
            let after = look(&state, now);
            prop_assert!(
                after.remaining <= before.remaining,
                "{rate}, back by {back} from {now}, {state:?}: {before:?} became {after:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn waits_are_honest_also_behind_a_clock() {
    each(|case, rate, state, now, random| {
        let strategy = &*case.strategy;
        for back in [0, 1, random % rate.period_micros(), HOUR] {
            let then = now - back.min(DAY - 1);
            for cost in [1, 1 + random % strategy.capacity(rate), strategy.capacity(rate)] {
                let check = |at| peek(strategy, &state, &ask(Op::Check, at, rate, cost, who(9)));
                let verdict = check(then);
                if verdict.admitted || verdict.wait == Verdict::NEVER {
                    continue;
                }
                prop_assert!(verdict.wait > 0);
                let (on_time, early) = (check(then + verdict.wait), check(then + verdict.wait - 1));
                prop_assert!(
                    on_time.admitted && !early.admitted,
                    "{rate}, back by {back}, cost {cost} at {then}, {state:?}: {verdict:?}, then {on_time:?}"
                );
                prop_assert!(early.wait == 1, "{rate}, cost {cost}, {state:?}: {verdict:?}, then {early:?}");
            }
        }
        Ok(())
    });
}

/// A bucket that another process has charged a minute from now: what is left of a charge is counted from then.
#[test]
fn a_refund_behind_a_clock_gives_back_no_more_than_the_account_has_left() {
    let (strategy, rate) = (crate::strategy::TokenBucket::new(), rate(60, MINUTE));
    let mut state = State::Empty;
    strategy.step(&mut state, &ask(Op::Hit, START + MINUTE, &rate, 20, who(0)));
    let refund = ask(Op::Refund { at: None }, START, &rate, 20, who(0));
    let gone_at = START + MINUTE + 5 * SECOND;
    assert_eq!(strategy.step(&mut state, &Ask { gone_at, ..refund }).used, 15);
}

/// A charge that is ahead of the clock belongs to the window that is open.
#[test]
fn a_charge_of_a_later_window_is_refunded_in_this_one() {
    let (strategy, rate) = (crate::strategy::SlidingWindow::new(), rate(9, MINUTE));
    let mut state = State::Empty;
    strategy.step(&mut state, &ask(Op::Hit, START, &rate, 5, who(0)));
    let refund = Op::Refund { at: Some(START + 2 * MINUTE) };
    assert_eq!(strategy.step(&mut state, &ask(refund, START, &rate, 2, who(0))).used, 3);
}

/// More than a day, if the account lasts for longer.
#[test]
fn a_state_is_believed_for_as_long_as_its_account_lasts() {
    let rate = rate(5, 7 * DAY);
    for strategy in [
        &crate::strategy::TokenBucket::new() as &dyn Strategy,
        &crate::strategy::SlidingLog::new(),
        &crate::strategy::LeakyQueue::new(),
        &crate::strategy::FixedWindow::new(),
    ] {
        let mut state = State::Empty;
        let ahead = START + 7 * DAY;
        assert!(strategy.step(&mut state, &ask(Op::Hit, ahead, &rate, 5, who(0))).admitted);
        let refused = |now| !peek(strategy, &state, &ask(Op::Hit, now, &rate, 1, who(0))).admitted;
        assert!(refused(START + 2 * DAY), "{strategy:?}");
        assert!(!refused(START - 7 * DAY), "{strategy:?}");
    }
}
