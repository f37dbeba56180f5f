//! The hot path allocates nothing: counted, not believed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::IntoFuture;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use traffik::{EXEMPTED, MemoryBackend, Registry, Throttle};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator unchanged; counting touches no memory of it.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on as they are.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    let before = COUNT.with(Cell::get);
    for _ in 0..1_000 {
        work();
    }
    COUNT.with(Cell::get) - before
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
