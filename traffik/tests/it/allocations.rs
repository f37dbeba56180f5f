//! The hot path does not allocate: measured, not assumed.

use std::future::IntoFuture;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use traffik::{EXEMPTED, MemoryBackend, Registry, Throttle};

use counting::count;

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
