//! Logs stay small, and a hit does not rewrite them.

use std::time::Instant;

use super::*;
use crate::strategy::{LeakyQueue, SlidingLog};

/// Fills an account by one unit per microsecond, then hammers it while it stays full.
fn churn(strategy: &dyn Strategy, entry: usize) {
    const LIMIT: u64 = 10_000;
    let rate = rate(LIMIT, LIMIT);
    let (mut state, mut now) = (State::Empty, START);
    // A queue drains while it fills, so its first entry takes up half of the time.
    strategy.step(&mut state, &ask(Op::Hit, now, &rate, LIMIT / 2, who(0)));
    let mut hit = |state: &mut State| {
        now += 1;
        strategy.step(state, &ask(Op::Hit, now, &rate, 1, who(0)))
    };
    for _ in 0..LIMIT {
        hit(&mut state);
    }
    let begun = Instant::now();
    let mut refused = 0;
    for _ in 0..5 * LIMIT {
        refused += u64::from(!hit(&mut state).admitted);
        let State::Bytes(bytes) = &state else { panic!("{strategy:?} keeps bytes") };
        assert!(
            bytes.len() <= 2 * LIMIT as usize * entry + 64 && bytes.capacity() <= 5 * LIMIT as usize * entry
        );
    }
    let each = begun.elapsed() / (5 * LIMIT as u32);
    // About 0.1 µs in optimized builds. The bound allows for unoptimized tests on a busy machine. Its purpose
    // is to catch a log that is copied, which would take a hundred times as long.
    assert!(each.as_micros() < 40, "{strategy:?}: {each:?} a hit, {refused} refused");
    println_of(strategy, each);

    // Nor does a refund of the newest charges copy the remaining ones.
    let before = peek(strategy, &state, &ask(Op::Check, now, &rate, 0, who(0))).used;
    let begun = Instant::now();
    for given_back in 1..=LIMIT / 4 {
        let verdict = strategy.step(&mut state, &ask(Op::Refund { at: None }, now, &rate, 1, who(0)));
        assert_eq!(verdict.used, before - given_back, "{strategy:?}");
    }
    let each = begun.elapsed() / (LIMIT / 4) as u32;
    assert!(each.as_micros() < 40, "{strategy:?}: {each:?} a refund");
}

#[allow(clippy::print_stdout)]
fn println_of(strategy: &dyn Strategy, each: std::time::Duration) {
    println!("{strategy:?}, 10 000 entries: {each:?} a hit");
}

#[test]
fn a_hit_on_a_full_log_of_ten_thousand_copies_nothing() {
    churn(&SlidingLog::new(), 16);
    churn(&LeakyQueue::new(), 8);
}
