//! The hot path does not allocate: measured, not assumed.

use std::future::IntoFuture;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use traffik::strategy::{LeakyQueue, SlidingLog};
use traffik::{EXEMPTED, MemoryBackend, Registry, Throttle, ThrottleBuilder};

use crate::support::alone;
use counting::{count, take_largest};

#[path = "../common/counting.rs"]
mod counting;

fn allocations(mut work: impl FnMut()) -> usize {
    work();
    let before = count();
    for _ in 0..1_000 {
        work();
    }
    count() - before
}

fn now<F: IntoFuture>(question: F) -> F::Output {
    match pin!(question.into_future()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the in-memory path is ready on first poll"),
    }
}

#[test]
fn an_allowed_an_exempt_and_a_free_hit_allocate_nothing() {
    let throttle = Throttle::builder("alloc:hit")
        .rate("1000000/day")
        .backend(MemoryBackend::new())
        .registry(&Registry::new())
        .build()
        .expect("a valid throttle");
    assert_eq!(allocations(|| assert!(now(throttle.hit("somebody")).is_ok_and(|d| d.stat().is_some()))), 0);
    assert_eq!(allocations(|| assert!(now(throttle.hit(EXEMPTED)).is_ok_and(|d| d.is_allowed()))), 0);
    assert_eq!(
        allocations(|| assert!(now(throttle.hit("somebody").cost(0)).is_ok_and(|d| d.is_allowed()))),
        0
    );
    assert_eq!(allocations(|| assert!(now(throttle.hit(7_u64)).is_ok_and(|d| d.stat().is_some()))), 0);
}

/// With ten thousand entries. What has left is cut off once in as many hits, and that may take a new buffer.
#[test]
fn a_hit_on_a_full_log_makes_no_copy() {
    let hits = |strategy: fn(ThrottleBuilder) -> ThrottleBuilder| {
        let (builder, clock) = alone("alloc:log");
        let throttle = strategy(builder.rate("10000/10ms")).build().expect("a valid throttle");
        // A queue drains while it fills, so its first entry takes up half of the time.
        assert!(now(throttle.hit("somebody").cost(5_000)).is_ok_and(|hit| hit.is_allowed()));
        let hit = || {
            clock.advance(std::time::Duration::from_micros(1));
            let _ = now(throttle.hit("somebody")).expect("a decision");
        };
        (0..30_000).for_each(|_| hit());
        allocations(hit)
    };
    assert!(hits(|builder| builder.strategy(SlidingLog::new())) <= 2);
    assert!(hits(|builder| builder.strategy(LeakyQueue::new())) <= 2);
}

/// The table grows in small parts, and so does the time that a hit takes to add one. The overflow of buckets comes in
/// parts as large as all before, of which nothing is written to in advance.
#[test]
fn no_hit_of_a_growing_store_fills_a_large_buffer() {
    let memory = MemoryBackend::builder().capacity(200_000).build();
    let throttle =
        Throttle::builder("alloc:growth").rate("10/day").backend(memory).registry(&Registry::new());
    let throttle = throttle.build().expect("a valid throttle");
    take_largest();
    for client in 0..200_000_u64 {
        assert!(now(throttle.hit(client)).is_ok_and(|hit| hit.is_allowed()));
    }
    let largest = take_largest();
    assert!(largest <= 16 << 10, "{largest} bytes");
}
