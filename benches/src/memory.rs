//! Measures decisions in memory, against keyed `governor` (DashMap) and `limitador`.

use std::collections::HashMap;
use std::hash::Hash;
use std::hint::black_box;
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use traffik::strategy::Gcra;
use traffik::{Attempt, Decision, MemoryBackend, Registry, Throttle};

use crate::identity::Identity;
use crate::measure::{Side, at_hand, rounds};
use crate::report::{Report, Target};

const KEYS: usize = 100_000;
const OPS: usize = 400_000;
/// Rounds of a comparison per pass. All comparisons are repeated in [`PASSES`] passes, so that each row's figures cover
/// the whole section, not a few seconds that may have been bad ones.
const ROUNDS: usize = 5;
const PASSES: usize = 5;

/// Decides without a future, as the peers do.
#[inline(always)]
pub fn is_allowed(attempt: Attempt<'_>) -> bool {
    matches!(attempt.now(), Ok(Decision::Allowed(_)))
}

/// Creates a throttle that admits everything the benchmark sends, so that both sides do the full arithmetic.
pub fn throttle(memory: MemoryBackend) -> Throttle {
    Throttle::builder("bench")
        .rate("1000000000/s")
        .strategy(Gcra::new().burst(1000))
        .backend(memory)
        .registry(&Registry::new())
        .build()
        .expect("a bench set up wrongly should stop")
}

pub fn governor<K: Clone + Eq + Hash>() -> DefaultKeyedRateLimiter<K> {
    let burst = NonZeroU32::new(1000).unwrap_or(NonZeroU32::MIN);
    RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX).allow_burst(burst))
}

/// Returns the `i`th step of a fixed walk through the keys that defeats caches.
pub fn order(i: usize, keys: usize) -> usize {
    i.wrapping_mul(2_654_435_761) % keys
}

/// An identity in the form in which a throttle takes it.
pub trait Subject<'a> {
    fn hit(self, throttle: &Throttle) -> bool;
}

impl Subject<'_> for &String {
    #[inline(always)]
    fn hit(self, throttle: &Throttle) -> bool {
        is_allowed(throttle.hit(self.as_str()))
    }
}

impl Subject<'_> for &IpAddr {
    #[inline(always)]
    fn hit(self, throttle: &Throttle) -> bool {
        is_allowed(throttle.hit(*self))
    }
}

#[derive(Clone, Copy)]
enum Walk {
    /// Each thread walks through its own part of the keys.
    Apart,
    /// All threads use one key.
    Hot,
}

/// Returns the number of the client whose turn it is.
fn pick(walk: Walk, threads: usize, thread: usize, i: usize) -> usize {
    let part = KEYS / threads;
    match walk {
        Walk::Hot => 0,
        Walk::Apart => thread * part + order(i, part),
    }
}

/// A comparison, with the time of either side in each round.
struct Compared<'a> {
    work: String,
    peer: &'static str,
    target: Target,
    sides: [Side<'a>; 2],
    times: Vec<[f64; 2]>,
}

impl<'a> Compared<'a> {
    fn new(work: String, peer: &'static str, target: Target, sides: [Side<'a>; 2]) -> Self {
        Self { work, peer, target, sides, times: Vec::new() }
    }
}

fn keyed<K: Identity + 'static>(name: &str, targets: [f64; 3]) -> [Compared<'static>; 4]
where
    for<'a> &'a K: Subject<'a>,
{
    let cases = [
        ("1 thread", 1, Walk::Apart, Target::AtMost(targets[0])),
        ("2 threads, distinct keys", 2, Walk::Apart, Target::AtMost(targets[1])),
        ("2 threads, one hot key", 2, Walk::Hot, Target::AtMost(targets[2])),
        ("1 thread, one key", 1, Walk::Hot, Target::None),
    ];
    cases.map(|(case, threads, walk, target)| {
        let (ours, theirs) = (throttle(MemoryBackend::new()), governor());
        let pick = move |thread, i| pick(walk, threads, thread, i);
        let hit = move |key: &K| _ = black_box(black_box(key).hit(&ours));
        let check = move |key: &K| _ = black_box(theirs.check_key(black_box(key)).is_ok());
        let ours = move || at_hand(threads, OPS, pick, &hit);
        let theirs = move || at_hand(threads, OPS, pick, &check);
        Compared::new(
            format!("memory, {name}, {case}"),
            "governor keyed",
            target,
            [Box::new(ours), Box::new(theirs)],
        )
    })
}

/// Compares two threads with one, each thread on its own keys.
fn scaling(report: &mut Report) {
    let throttle = throttle(MemoryBackend::new());
    let on = |threads: usize| {
        let throttle = &throttle;
        move || {
            let pick = |thread, i| pick(Walk::Apart, 2, thread, i);
            at_hand(threads, OPS, pick, |key: &String| _ = black_box(black_box(key).hit(throttle)))
        }
    };
    let times = rounds(ROUNDS * PASSES, [Box::new(on(2)), Box::new(on(1))]);
    let throughput = crate::measure::Spread::of(times.iter().map(|[two, one]| 2.0 * one / two));
    let work = "memory, 2 threads against 1, distinct keys: throughput";
    report.figures(work, throughput, " ×", Target::AtLeast(1.8));
}

fn limitador(report: &mut Report) {
    use limitador::limit::{Context, Limit};
    let ours = throttle(MemoryBackend::new());
    let theirs = limitador::RateLimiter::new(1_000_000);
    let Ok(variable) = "user".try_into() else {
        return report.unmeasured("limitador: its variable cannot be made");
    };
    let none: [limitador::limit::Predicate; 0] = [];
    theirs.add_limit(Limit::new("bench", u64::MAX, 60, none, [variable]));
    let namespace = "bench".into();
    let pick = |_, i| pick(Walk::Apart, 1, 0, i);
    let hit = |key: &String| _ = black_box(key.hit(&ours));
    let check = |key: &String| {
        let context = Context::from(HashMap::from([("user".to_owned(), key.clone())]));
        black_box(theirs.check_rate_limited_and_update(&namespace, &context, 1).is_ok());
    };
    let ours = || at_hand(1, OPS / 4, pick, hit);
    let theirs = || at_hand(1, OPS / 4, pick, check);
    let times = rounds(ROUNDS, [Box::new(ours), Box::new(theirs)]);
    report.ratio("memory, 100 000 String identities, 1 thread", "limitador", &times, Target::None);
}

pub fn run(report: &mut Report) {
    let strings = keyed::<String>("`Gcra`, 100 000 `String`", [0.5, 0.4, 0.4]);
    let addresses = keyed::<IpAddr>("`Gcra`, 100 000 `IpAddr`", [0.6, 0.4, 0.4]);
    let mut all: Vec<_> = strings.into_iter().chain(addresses).collect();
    for _ in 0..PASSES {
        for Compared { sides, times, .. } in &mut all {
            times.extend(rounds(ROUNDS, sides.each_mut().map(|side| -> Side<'_> { Box::new(side) })));
        }
    }
    for Compared { work, peer, target, times, .. } in &all {
        report.ratio(work, peer, times, *target);
    }
    scaling(report);
    limitador(report);
}
