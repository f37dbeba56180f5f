//! Decisions in memory: against `governor` keyed (DashMap).

use std::future::IntoFuture;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use governor::{Quota, RateLimiter};
use traffik::strategy::Gcra;
use traffik::{Decision, MemoryBackend, Registry, Throttle};

use crate::measure::{Row, compare, on_threads};

const KEYS: usize = 100_000;
const OPS: usize = 400_000;
const ROUNDS: usize = 15;

/// Polls once: the in-memory path is ready on first poll.
pub fn now<F: IntoFuture>(question: F) -> F::Output {
    match pin!(question.into_future()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => std::process::abort(),
    }
}

/// A throttle that admits everything the bench sends: both sides do the full arithmetic.
pub fn throttle() -> Throttle {
    Throttle::builder("bench")
        .rate("1000000000/s")
        .strategy(Gcra::new().burst(1000))
        .backend(MemoryBackend::new())
        .registry(&Registry::new())
        .build()
        .expect("a bench set up wrongly should stop")
}

fn quota() -> Quota {
    Quota::per_second(NonZeroU32::MAX).allow_burst(NonZeroU32::new(1000).unwrap_or(NonZeroU32::MIN))
}

/// A fixed walk through the keys that caches cannot follow.
fn order(i: usize, keys: usize) -> usize {
    (i.wrapping_mul(2_654_435_761)) % keys
}

fn keyed<K>(rows: &mut Vec<Row>, name: &str, targets: [f64; 3], keys: &[K])
where
    K: Clone + Eq + std::hash::Hash + Send + Sync,
    for<'a> &'a K: Subject<'a>,
{
    let half = keys.len() / 2;
    let cases = [
        (format!("{name}, 1 thread"), 1, targets[0], false),
        (format!("{name}, 2 threads, distinct keys"), 2, targets[1], false),
        (format!("{name}, 2 threads, one hot key"), 2, targets[2], true),
    ];
    for (work, threads, target, hot) in cases {
        let (ours, theirs) = (throttle(), RateLimiter::keyed(quota()));
        let pick = |thread: usize, i: usize| match (hot, threads) {
            (true, _) => &keys[0],
            (false, 1) => &keys[order(i, keys.len())],
            (false, _) => &keys[thread * half + order(i, half)],
        };
        rows.push(compare(
            &work,
            "governor keyed",
            target,
            ROUNDS,
            Box::new(|| {
                on_threads(threads, OPS, |thread, i| {
                    black_box(pick(thread, i).hit(&ours));
                })
            }),
            Box::new(|| {
                on_threads(threads, OPS, |thread, i| {
                    black_box(theirs.check_key(pick(thread, i)).is_ok());
                })
            }),
        ));
    }
}

/// What the bench throttles by, handed over as each side takes it.
trait Subject<'a> {
    fn hit(self, throttle: &Throttle) -> bool;
}

impl Subject<'_> for &String {
    fn hit(self, throttle: &Throttle) -> bool {
        matches!(now(throttle.hit(self.as_str())), Ok(Decision::Allowed(_)))
    }
}

impl Subject<'_> for &IpAddr {
    fn hit(self, throttle: &Throttle) -> bool {
        matches!(now(throttle.hit(*self)), Ok(Decision::Allowed(_)))
    }
}

pub fn run(rows: &mut Vec<Row>) {
    let strings: Vec<String> = (0..KEYS).map(|i| format!("user:{i:08}")).collect();
    keyed(rows, "memory, Gcra, 100 000 String identities", [0.5, 0.4, 0.4], &strings);
    let addresses: Vec<IpAddr> =
        (0..KEYS as u32).map(|i| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + i * 7))).collect();
    keyed(rows, "memory, Gcra, 100 000 IpAddr identities", [0.6, 0.4, 0.4], &addresses);
}

/// A loop for profilers and instruction counters: one thread, one key.
pub fn profile() {
    let hits = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    counted(&throttle(), hits);
}

/// What instruction counters are to look at: `valgrind --toggle-collect='*counted*'`.
#[inline(never)]
fn counted(throttle: &Throttle, hits: usize) {
    for _ in 0..hits {
        black_box("user:00000001".hit(throttle));
    }
}

impl Subject<'_> for &str {
    fn hit(self, throttle: &Throttle) -> bool {
        matches!(now(throttle.hit(self)), Ok(Decision::Allowed(_)))
    }
}

/// One hot key on one thread: the price of a hit without a cache miss.
pub fn hot() {
    let (ours, theirs) = (throttle(), RateLimiter::keyed(quota()));
    let key = String::from("user:00000001");
    let row = compare(
        "one key, 1 thread",
        "governor keyed",
        1.0,
        ROUNDS,
        Box::new(|| {
            on_threads(1, OPS, |_, _| {
                black_box(black_box(&key).hit(&ours));
            })
        }),
        Box::new(|| {
            on_threads(1, OPS, |_, _| {
                black_box(theirs.check_key(black_box(&key)).is_ok());
            })
        }),
    );
    let _ = row;
}

/// One hot key on two threads.
pub fn contended() {
    let (ours, theirs) = (throttle(), RateLimiter::keyed(quota()));
    let key = String::from("user:00000001");
    let row = compare(
        "one key, 2 threads",
        "governor keyed",
        0.4,
        ROUNDS,
        Box::new(|| {
            on_threads(2, OPS, |_, _| {
                black_box(black_box(&key).hit(&ours));
            })
        }),
        Box::new(|| {
            on_threads(2, OPS, |_, _| {
                black_box(theirs.check_key(black_box(&key)).is_ok());
            })
        }),
    );
    let _ = row;
}
