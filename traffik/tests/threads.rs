//! The in-memory store under several threads at once. This is a test binary of its own, and does without a runtime, so
//! that Miri can run it too (`cargo xtask miri`), which looks for data races and misused pointers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::future::IntoFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use traffik::strategy::{IntoStrategy, SlidingLog};
use traffik::test_kit::ManualClock;
use traffik::{Decision, Error, MemoryBackend, Registry, Throttle, hit_all};

/// Rounds per thread. Miri takes a millisecond for what a processor does in a microsecond.
const ROUNDS: u64 = if cfg!(miri) { 6 } else { 4_000 };

const THREADS: u64 = if cfg!(miri) { 3 } else { 4 };

fn throttle(uid: &'static str, rate: &str, memory: &MemoryBackend) -> Throttle {
    with_strategy(uid, rate, traffik::strategy::FixedWindow::new(), memory)
}

fn with_strategy(
    uid: &'static str,
    rate: &str,
    strategy: impl IntoStrategy,
    memory: &MemoryBackend,
) -> Throttle {
    let throttle = Throttle::builder(uid).rate(rate).strategy(strategy).backend(memory.clone());
    throttle.registry(&Registry::new()).build().unwrap()
}

/// Nothing in memory has to wait.
fn at_once<T>(operation: impl IntoFuture<Output = T>) -> T {
    operation.into_future().now_or_never().expect("an answer at once")
}

fn is_allowed(decision: Result<Decision, Error>) -> bool {
    decision.unwrap().is_allowed()
}

/// Runs `work(thread)` on each thread, all at once.
fn on_threads(work: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        let work = &work;
        (0..THREADS).for_each(|thread| _ = scope.spawn(move || work(thread)));
    });
}

#[test]
fn threads_admit_exactly_the_limit() {
    let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
    let limit = ROUNDS;
    let a = throttle("threads:exact:a", "100000/day", &memory);
    let b = throttle("threads:exact:b", &format!("{limit}/day"), &memory);
    let (passed_both, passed_b) = (AtomicU64::new(0), AtomicU64::new(0));
    on_threads(|thread| {
        for i in 0..ROUNDS {
            // The same two keys in opposite orders must not deadlock.
            let pair = if thread % 2 == 0 { [&a, &b] } else { [&b, &a] };
            if is_allowed(at_once(hit_all(pair, "hot"))) {
                passed_both.fetch_add(1, Ordering::Relaxed);
            }
            if is_allowed(b.hit("other").cost(i % 3 + 1).now()) {
                passed_b.fetch_add(i % 3 + 1, Ordering::Relaxed);
            }
            // Keys that only this thread uses, so that the table grows in the meantime.
            assert!(is_allowed(a.hit(thread * 10_000 + i).now()));
        }
    });
    assert_eq!((passed_both.into_inner(), passed_b.into_inner()), (limit, limit));
    assert_eq!(memory.len() as u64, 3 + THREADS * ROUNDS);
}

/// States that are boxed come and go with their keys: evicted, expired, reset.
#[test]
fn keys_are_forgotten_while_others_come() {
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder().capacity(12).clock(clock.clone()).build();
    let log = with_strategy("threads:log", "3/min", SlidingLog::new(), &memory);
    on_threads(|thread| {
        for i in 0..ROUNDS {
            let client = i * THREADS + thread;
            let _ = log.hit(client).now();
            let _ = log.hit(i / 2).now();
            match i % 5 {
                0 => at_once(log.reset(client)).unwrap(),
                1 => at_once(log.refund(i / 2, 1)).unwrap(),
                2 => clock.advance(Duration::from_secs(10)),
                3 => _ = memory.reclaim(),
                _ => {}
            }
        }
    });
    assert!((1..=12).contains(&memory.len()), "{} keys", memory.len());
    clock.advance(Duration::from_secs(61));
    memory.reclaim();
    assert_eq!(memory.len(), 0);
}

/// A log holds each hit, and its box is replaced while others wait for it.
#[test]
fn a_log_admits_exactly_its_limit_and_what_was_given_back() {
    let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
    let limit = ROUNDS;
    let log = with_strategy("threads:boxed", &format!("{limit}/day"), SlidingLog::new(), &memory);
    let (passed, given_back) = (AtomicU64::new(0), AtomicU64::new(0));
    on_threads(|_| {
        for i in 0..ROUNDS {
            if !is_allowed(log.hit("hot").now()) {
                continue;
            }
            passed.fetch_add(1, Ordering::Relaxed);
            if i % 4 == 0 {
                at_once(log.refund("hot", 1)).unwrap();
                given_back.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let (passed, given_back) = (passed.into_inner(), given_back.into_inner());
    let used = at_once(log.stat("hot")).unwrap().map(|stat| stat.used);
    assert_eq!(used, Some(passed - given_back));
    assert!(passed - given_back <= limit && passed >= limit, "{passed} passed, {given_back} given back");
}
