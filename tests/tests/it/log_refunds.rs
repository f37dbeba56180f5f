//! Refunds of charges anywhere in a long `SlidingLog`: the same numbers as in memory, and no more written than the
//! charge's side of the log.

use std::time::Duration;

use traffik::strategy::{Rollover, SlidingLog};
use traffik::test_kit::ManualClock;
use traffik::{SharedBackend, Throttle, hit_all};
use traffik_tests::{Random, RedisServer, seeds};

use crate::support::{manual, mirrored, throttle, used};

const LIMIT: u64 = 1_000;
const SPACED: Duration = Duration::from_millis(10);

/// A log whose entries leave after as many hits as it has room for.
fn build(backend: SharedBackend) -> Throttle {
    let rate = format!("{LIMIT}/10 s");
    throttle("log", &rate).strategy(SlidingLog::new()).backend(backend).build().unwrap()
}

#[tokio::test]
async fn in_any_order_they_leave_what_they_leave_in_memory() {
    let server = RedisServer::start();
    for seed in seeds(3) {
        let random = &mut Random::new(seed);
        let (clock, mirror) = mirrored(&server).await;
        // Decided together with a strategy without a script, the same log is read in Rust.
        let beside = throttle("beside", "1_000_000/day").strategy(Rollover::new()).backend(&mirror);
        let beside = beside.build().unwrap();
        let throttle = build(mirror);
        let mut held = Vec::new();
        for _ in 0..2 * LIMIT {
            clock.advance(SPACED * random.below(3) as u32);
            let cost = 1 + random.below(3);
            if let Ok(reservation) = throttle.reserve("ann").cost(cost).await {
                held.push(reservation);
            }
            if held.len() > 400 || random.below(9) == 0 && !held.is_empty() {
                let any = held.swap_remove(random.below(held.len() as u64) as usize);
                // A part of the cost, all of it, or more.
                match random.below(3) {
                    0 => drop(any.settle(random.below(5)).await.unwrap()),
                    _ => any.cancel().await.unwrap(),
                }
            }
            if random.below(20) == 0 {
                drop(hit_all([&throttle, &beside], "ann").await.unwrap());
            }
            if random.below(50) == 0 {
                throttle.refund("ann", random.below(LIMIT / 10)).await.unwrap();
            }
        }
        for any in held {
            any.cancel().await.unwrap();
        }
    }
}

/// A full log, and the server that has it.
struct FullLog {
    server: RedisServer,
    clock: ManualClock,
    throttle: Throttle,
    held: Vec<traffik::Reservation>,
}

impl FullLog {
    async fn new() -> Self {
        let (server, clock) = (RedisServer::start(), ManualClock::new());
        let throttle = build(manual(&server, clock.clone()).await.into());
        let mut held = Vec::new();
        for _ in 0..LIMIT {
            held.push(throttle.reserve("ann").await.unwrap());
            clock.advance(SPACED / 2);
        }
        Self { server, clock, throttle, held }
    }

    /// What the only key holds.
    fn value(&self) -> Vec<u8> {
        self.server.command(&["GET", &self.server.keys()[0]])
    }
}

/// Returns how many bytes two values share at either end.
fn shared(one: &[u8], other: &[u8]) -> [usize; 2] {
    let start = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    [start, end]
}

#[tokio::test]
async fn of_an_old_charge_leaves_the_newer_entries_as_they_are() {
    let mut log = FullLog::new().await;
    for place in [0, 9] {
        let before = log.value();
        log.held.remove(place).cancel().await.unwrap();
        let after = log.value();
        let [_, end] = shared(&before, &after);
        assert!(end >= after.len() - 16 * (place + 2), "{end} of {} bytes are the same", after.len());
    }
    let before = log.value();
    log.held.remove(log.held.len() - 10).cancel().await.unwrap();
    let after = log.value();
    let [start, _] = shared(&before, &after);
    assert!(start >= after.len() - 16 * 11, "{start} of {} bytes are the same", after.len());
    assert_eq!(used(&log.throttle).await, LIMIT - 3);
}

#[tokio::test]
async fn of_a_charge_that_has_left_writes_nothing() {
    let mut log = FullLog::new().await;
    // Half of the log has left.
    log.clock.advance(SPACED * LIMIT as u32 * 3 / 4);
    let before = log.value();
    log.server.reset_stats();
    log.held.remove(0).cancel().await.unwrap();
    assert_eq!(log.server.commandstats().get("set"), None);
    assert_eq!((log.value(), log.server.decisions()), (before, 1));
    assert!(used(&log.throttle).await >= LIMIT / 4);
}

#[tokio::test]
async fn of_a_recent_charge_writes_a_few_entries_and_later_hits_take_their_place() {
    let mut log = FullLog::new().await;
    let whole = log.value().len();
    log.server.reset_stats();
    for _ in 0..20 {
        log.held.remove(log.held.len() - 5).cancel().await.unwrap();
    }
    let stats = log.server.commandstats();
    assert_eq!((stats.get("set"), stats.get("setrange")), (None, Some(&20)), "{stats:?}");
    assert_eq!(used(&log.throttle).await, LIMIT - 20);
    for _ in 0..30 {
        log.clock.advance(Duration::from_micros(1));
        let room = log.throttle.stat("ann").await.unwrap().unwrap().remaining > 0;
        assert_eq!(log.throttle.hit("ann").await.unwrap().is_allowed(), room);
    }
    assert_eq!(used(&log.throttle).await, LIMIT);
    assert_eq!(log.value().len(), whole, "a log grows by hits that count, not by those that were refunded");
}

/// Dropped are those that have left once they are as many as those that count. What refunds have left free is neither
/// counted for that nor kept, so the log is as long as in memory, and agrees with it even if the clock then falls back.
#[tokio::test]
async fn what_a_refund_has_left_free_is_dropped_with_what_has_left() {
    let server = RedisServer::start();
    let (clock, mirror) = mirrored(&server).await;
    let throttle = build(mirror);
    let length = || server.command::<usize>(&["STRLEN", &server.keys()[0]]);
    for _ in 0..10 {
        drop(throttle.hit("ann").await.unwrap());
        clock.advance(Duration::from_millis(1));
    }
    clock.advance(Duration::from_secs(9));
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(throttle.reserve("ann").await.unwrap());
        clock.advance(Duration::from_millis(1));
    }
    for recent in held.drain(5..).rev() {
        recent.cancel().await.unwrap();
    }
    assert_eq!(length(), 9 + 16 * 22, "all of it is still there");
    let earlier = clock.now();
    // Eight of the first ten leave, and five of the others are left.
    clock.advance(Duration::from_millis(985));
    let last = throttle.reserve("ann").await.unwrap();
    assert_eq!(length(), 9 + 16 * (2 + 5 + 1));
    last.cancel().await.unwrap();
    clock.set(earlier);
    assert_eq!(used(&throttle).await, 2 + 5);
}

#[tokio::test]
async fn hits_of_one_instant_share_an_entry_even_where_a_refund_has_left_room() {
    let mut log = FullLog::new().await;
    for recent in log.held.drain(LIMIT as usize - 5..) {
        recent.cancel().await.unwrap();
    }
    for _ in 0..3 {
        assert!(log.throttle.hit("ann").await.unwrap().is_allowed());
    }
    let value = log.value();
    let mut entries: Vec<&[u8]> = value[9..].chunks(16).collect();
    entries.dedup();
    assert_eq!(entries.len() as u64, LIMIT - 5 + 1);
}

/// Hits are decided together with a strategy without a script, so in Rust, and refunded by the script.
#[tokio::test]
async fn a_log_that_hits_in_rust_share_grows_by_none_that_was_refunded() {
    let server = RedisServer::start();
    let (clock, mirror) = mirrored(&server).await;
    let beside =
        throttle("beside", "1_000_000/day").strategy(Rollover::new()).backend(&mirror).build().unwrap();
    let throttle = build(mirror);
    drop(throttle.hit("ann").await.unwrap());
    let key = server.keys().remove(0);
    for _ in 0..50 {
        clock.advance(Duration::from_millis(1));
        drop(hit_all([&throttle, &beside], "ann").await.unwrap());
        throttle.refund("ann", 1).await.unwrap();
    }
    assert_eq!(used(&throttle).await, 1);
    assert_eq!(server.command::<usize>(&["STRLEN", &key]), 9 + 16 * 2);
}
