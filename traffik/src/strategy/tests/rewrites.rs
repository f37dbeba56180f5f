//! Logs stay small, and neither a hit nor a refund rewrites them. That a hit makes no copy either is seen from outside
//! (`traffik/tests/it/allocations.rs`).

use super::*;
use crate::strategy::{LeakyQueue, SlidingLog};

const LIMIT: u64 = 10_000;

/// Bytes that are compared at once.
const CHUNK: usize = 64;

/// Counts the steps that change more of a log than a few chunks.
fn rewrites(steps: usize, state: &mut State, mut step: impl FnMut(&mut State)) -> usize {
    let mut before = bytes(state).clone();
    let mut rewrites = 0;
    for _ in 0..steps {
        step(state);
        let now = bytes(state);
        let changed =
            before.chunks(CHUNK).zip(now.chunks(CHUNK)).filter(|(before, now)| before != now).count();
        rewrites += usize::from(changed > 4);
        before.clone_from(now);
    }
    rewrites
}

fn bytes(state: &State) -> &Vec<u8> {
    let State::Bytes(bytes) = state else { panic!("a log keeps bytes") };
    bytes
}

/// Fills an account by one unit per microsecond, then hammers it while it stays full.
fn churn(strategy: &dyn Strategy, entry: usize) {
    let rate = rate(LIMIT, LIMIT);
    let (mut state, mut now) = (State::Empty, START);
    // A queue drains while it fills, so its first entry takes up half of the time.
    strategy.step(&mut state, &ask(Op::Hit, now, &rate, LIMIT / 2, who(0)));
    let mut refused = 0;
    let mut hit = |state: &mut State| {
        now += 1;
        refused += u64::from(!strategy.step(state, &ask(Op::Hit, now, &rate, 1, who(0))).admitted);
        let bytes = bytes(state);
        assert!(
            bytes.len() <= 2 * LIMIT as usize * entry + 64 && bytes.capacity() <= 5 * LIMIT as usize * entry
        );
    };
    for _ in 0..LIMIT {
        hit(&mut state);
    }
    // What has left is cut off once it is as much as what remains: once in 10 000 hits.
    let hits = rewrites(2_500, &mut state, &mut hit);
    assert!(hits <= 1, "{strategy:?}: {hits} of 2500 hits");
    for _ in 0..5 * LIMIT {
        hit(&mut state);
    }

    // Nor does a refund of the newest charges copy the remaining ones.
    let before = peek(strategy, &state, &ask(Op::Check, now, &rate, 0, who(0))).used;
    let mut given_back = 0;
    let refunds = rewrites(LIMIT as usize / 4, &mut state, |state| {
        given_back += 1;
        let verdict = strategy.step(state, &ask(Op::Refund { at: None }, now, &rate, 1, who(0)));
        assert_eq!(verdict.used, before - given_back, "{strategy:?}");
    });
    assert!(refunds <= 1, "{strategy:?}: {refunds} of {given_back} refunds");
}

/// An account that was full and has almost emptied gives its memory back.
#[test]
fn a_log_that_has_become_short_takes_little_memory() {
    let rate = rate(LIMIT, LIMIT);
    // Of a queue, half has left by the time that the log's first entry expires.
    let cases =
        [(&SlidingLog::new() as &dyn Strategy, 16, LIMIT + LIMIT / 2), (&LeakyQueue::new(), 8, LIMIT)];
    for (strategy, entry, empty) in cases {
        let mut state = State::Empty;
        let mut hit = |now, cost| strategy.step(&mut state, &ask(Op::Hit, now, &rate, cost, who(0)));
        hit(START, LIMIT / 2);
        for at in 0..LIMIT / 2 {
            hit(START + at, 1);
        }
        hit(START + empty - 10, 1);
        let bytes = bytes(&state);
        assert!(
            bytes.len() > 5 * entry && bytes.capacity() <= 512,
            "{} of {}",
            bytes.len(),
            bytes.capacity()
        );
    }
}

#[test]
fn hits_in_one_microsecond_share_an_entry() {
    let (strategy, rate, mut state) = (SlidingLog::new(), rate(LIMIT, HOUR), State::Empty);
    for number in 1..=5 {
        let verdict = strategy.step(&mut state, &ask(Op::Hit, START, &rate, 2, who(0)));
        assert_eq!((verdict.used, bytes(&state).len()), (2 * number, 8 + 16));
    }
}

#[test]
fn a_hit_on_a_full_log_of_ten_thousand_rewrites_nothing() {
    churn(&SlidingLog::new(), 16);
    churn(&LeakyQueue::new(), 8);
}
