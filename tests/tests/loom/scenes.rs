//! Concurrent scenarios, and the invariants that must hold afterwards.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use smallvec::SmallVec;
use traffik::Rate;
use traffik::strategy::State;

use crate::backend::{Hit, Op, Verdict};
use crate::load::SMALLEST;
use crate::lock::Lock;
use crate::sync::UnsafeCell;
use crate::table::Table;

/// The middle of an hourly window.
const NOW: u64 = 1_700_000_000_000_000 / HOUR * HOUR + HOUR / 2;
const HOUR: u64 = 3_600_000_000;
/// The table's epoch, some time before `NOW`.
const EPOCH: u64 = NOW - 1_000 * HOUR;

/// Explores every interleaving that can make a difference, and prints how many there were.
fn explore(scene: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    // Explore without bounds, whatever the environment says.
    (model.preemption_bound, model.max_permutations, model.max_duration) = (None, None, None);
    model.max_branches = 100_000;
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    model.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    println!("{} interleavings", tried.load(Ordering::Relaxed));
}

/// Builds a hit on the last bucket of the smallest table. When the table grows, even keys stay and odd keys move.
fn hit(key: u64, limit: u64) -> Hit<'static> {
    at(SMALLEST - 1, key | (key % 2) << 55, limit)
}

/// Builds a hit on a key in this bucket of the smallest table.
fn at(bucket: usize, key: u64, limit: u64) -> Hit<'static> {
    let tag = (bucket as u64) << 56 | key;
    Hit { tag, rate: Rate::per_hour(limit), lifetime: PhantomData }
}

fn ask(table: &Table, op: Op, now: u64, hit: &Hit<'_>) -> Verdict {
    table.decide_one(hit.hash(), table.locate(hit.hash()), op, now, |state: &mut State| {
        hit.step(op, now, state)
    })
}

fn take(table: &Table, hit: &Hit<'_>) -> bool {
    ask(table, Op::Hit, NOW, hit).admitted
}

fn used(table: &Table, tag: u64) -> u64 {
    ask(table, Op::Check, NOW, &hit(tag, 1_000)).used
}

fn batch(table: &Table, hits: &[Hit<'_>]) -> bool {
    let mut each = SmallVec::new();
    table.decide_batch(Op::Hit, NOW, hits, &mut each);
    assert_eq!(each.len(), hits.len());
    each.iter().all(|verdict| verdict.admitted)
}

/// Builds a table that holds these keys, each used once. More than four keys make it grow.
fn holding(capacity: usize, tags: &[u64]) -> Arc<Table> {
    let table = Table::new(capacity, EPOCH);
    for tag in tags {
        assert!(take(&table, &hit(*tag, 1_000)));
    }
    Arc::new(table)
}

/// Runs two closures concurrently and returns both results.
fn both<A: 'static, B>(
    table: &Arc<Table>,
    one: impl FnOnce(&Table) -> A + 'static,
    other: impl FnOnce(&Table) -> B,
) -> (A, B) {
    let its = Arc::clone(table);
    let one = thread::spawn(move || one(&its));
    let other = other(table);
    (one.join().expect("a thread that does not panic"), other)
}

/// A number that only the holder of the lock may access.
struct Locked {
    lock: Lock,
    number: UnsafeCell<u64>,
}

// SAFETY: this is what the scenario tests. The lock admits one thread at a time to the number, and loom
// panics if it does not order their accesses.
unsafe impl Sync for Locked {}

impl Locked {
    /// Increments the number and releases the lock. The caller must hold the lock.
    fn add(&self) {
        // SAFETY: the caller holds the lock, so nothing else accesses the number.
        unsafe { *self.number.get() += 1 };
        self.lock.unlock();
    }
}

/// The lock alone: it admits one thread at a time, and the next holder sees what the previous one wrote.
#[test]
fn the_lock_keeps_others_out() {
    explore(|| {
        let shared = Arc::new(Locked { lock: Lock::new(), number: UnsafeCell::new(0) });
        let its = Arc::clone(&shared);
        let one = thread::spawn(move || {
            its.lock.lock();
            its.add();
        });
        let tried = shared.lock.try_lock();
        if tried {
            shared.add();
        }
        shared.lock.lock();
        shared.add();
        one.join().expect("a thread that does not panic");
        assert!(shared.lock.try_lock());
        // SAFETY: the lock was just acquired, so nothing else accesses the number.
        assert_eq!(unsafe { *shared.number.get() }, 2 + u64::from(tried));
    });
}

#[test]
fn one_account_admits_its_limit() {
    explore(|| {
        let table = holding(100, &[]);
        let twice = |table: &Table| (0..2).filter(|_| take(table, &hit(7, 3))).count();
        let (one, other) = both(&table, twice, twice);
        assert_eq!(one + other, 3);
        assert_eq!((used(&table, 7), table.len()), (3, 1));
    });
}

/// The fifth key splits its bucket, and odd keys move to the new one.
#[test]
fn a_key_that_moves_is_counted_where_it_is() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4]);
        both(&table, |table| take(table, &hit(5, 1_000)), |table| take(table, &hit(3, 1_000)));
        assert_eq!(table.size(), SMALLEST + 1);
        assert_eq!([1, 2, 3, 4, 5].map(|tag| used(&table, tag)), [1, 1, 2, 1, 1]);
        assert_eq!(table.len(), 5);
    });
}

#[test]
fn two_newcomers_grow_the_table_and_lose_nothing() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4]);
        both(&table, |table| take(table, &hit(5, 1_000)), |table| take(table, &hit(6, 1_000)));
        assert_eq!(table.size(), SMALLEST + 1);
        assert_eq!([1, 2, 3, 4, 5, 6].map(|tag| used(&table, tag)), [1; 6]);
        assert_eq!(table.len(), 6);
    });
}

#[test]
fn a_key_given_up_while_it_moves_is_gone() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4]);
        both(
            &table,
            |table| take(table, &hit(5, 1_000)),
            |table| ask(table, Op::Refund { at: None }, NOW, &hit(3, 1_000)),
        );
        assert_eq!([1, 2, 3, 4, 5].map(|tag| used(&table, tag)), [1, 1, 0, 1, 1]);
        assert_eq!(table.len(), 4);
    });
}

/// Two batches over the same two buckets in opposite order: neither deadlocks, and charges are all or nothing.
#[test]
fn batches_are_whole_and_wait_in_one_order() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4, 5]);
        let (even, odd) = (hit(8, 1), hit(9, 1_000));
        let (one, other) =
            both(&table, move |table| batch(table, &[even, odd]), |table| batch(table, &[odd, even]));
        assert!(one ^ other, "one unit is there: {one} {other}");
        assert_eq!((used(&table, 8), used(&table, 9)), (1, 1));
    });
}

#[test]
fn a_batch_finds_its_keys_while_the_table_grows() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4]);
        let (all, _) = both(
            &table,
            |table| batch(table, &[hit(2, 1_000), hit(3, 1_000)]),
            |table| take(table, &hit(5, 1_000)),
        );
        assert!(all);
        assert_eq!([1, 2, 3, 4, 5].map(|tag| used(&table, tag)), [1, 2, 2, 1, 1]);
    });
}

/// A batch and a single hit on one of its accounts: the single hit never sees half a batch.
#[test]
fn a_batch_and_a_hit_share_what_is_there() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4, 5]);
        let (narrow, wide) = (hit(8, 1), hit(9, 1_000));
        let (whole, single) =
            both(&table, move |table| batch(table, &[narrow, wide]), |table| take(table, &narrow));
        assert!(whole ^ single);
        assert_eq!((used(&table, 8), used(&table, 9)), (1, u64::from(whole)));
    });
}

/// The table is full, and two new keys search each other's buckets for an entry to evict.
#[test]
fn newcomers_to_a_full_table_drop_the_mild_and_keep_the_refused() {
    explore(|| {
        let table = holding(6, &[1, 2, 3, 4, 5]);
        let refused = hit(10, 1);
        assert!(take(&table, &refused) && !take(&table, &refused));
        both(&table, |table| take(table, &hit(12, 1_000)), |table| take(table, &hit(13, 1_000)));
        assert!(!take(&table, &refused), "a flood has freed a refused client");
        // One new key may evict the other, since neither has been refused.
        let held = [1, 2, 3, 4, 5, 10, 12, 13].map(|tag| used(&table, tag));
        assert_eq!((held.iter().sum::<u64>(), table.len()), (6, 6), "{held:?}");
    });
}

/// Keys that do not fit into their bucket go to overflow nodes, which two buckets allocate concurrently.
#[test]
fn keys_behind_a_bucket_are_counted_there() {
    const EVEN: [u64; 7] = [2, 4, 6, 8, 10, 12, 14];
    explore(|| {
        let table = holding(100, &EVEN);
        let odd = |key| at(1, key, 1_000);
        assert!((0..6).all(|key| take(&table, &odd(key))));
        let (behind, new) = both(
            &table,
            |table| ask(table, Op::Reset, NOW, &hit(14, 1_000)).admitted && take(table, &hit(16, 1_000)),
            move |table| take(table, &odd(6)),
        );
        assert!(behind && new);
        assert_eq!(EVEN.map(|key| used(&table, key)), [1, 1, 1, 1, 1, 1, 0]);
        assert_eq!((used(&table, 16), table.len()), (1, 14));
        assert!((0..7).all(|key| ask(&table, Op::Check, NOW, &odd(key)).used == 1));
    });
}

/// One thread drops an expired key while another uses it again: the key starts afresh, exactly once.
#[test]
fn an_expired_key_begins_anew() {
    explore(|| {
        let table = holding(100, &[1, 2, 3]);
        let later = NOW + 2 * HOUR;
        both(
            &table,
            move |table| assert!(ask(table, Op::Hit, later, &hit(5, 1_000)).admitted),
            |table| assert_eq!(ask(table, Op::Hit, later, &hit(3, 1_000)).used, 1),
        );
        assert_eq!(ask(&table, Op::Check, later, &hit(3, 1_000)).used, 1);
        table.sweep_all(later);
        assert_eq!(table.len(), 2);
    });
}

/// Three threads: one makes the table grow, one charges a batch, and one hits a key of that batch.
#[test]
fn growth_under_a_batch_and_a_hit() {
    explore(|| {
        let table = holding(100, &[1, 2, 3, 4]);
        let (its, hers) = (Arc::clone(&table), Arc::clone(&table));
        let grows = thread::spawn(move || take(&its, &hit(5, 1_000)));
        let batches = thread::spawn(move || batch(&hers, &[hit(3, 2), hit(2, 1_000)]));
        let single = take(&table, &hit(3, 2));
        assert!(grows.join().expect("a thread that does not panic"));
        let whole = batches.join().expect("a thread that does not panic");
        assert!(whole ^ single, "one more unit is there");
        let moved = [1, 1 + u64::from(whole), 2, 1, 1];
        assert_eq!([1, 2, 3, 4, 5].map(|tag| used(&table, tag)), moved);
    });
}
