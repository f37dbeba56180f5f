//! The in-memory store: bounded, exact under threads, and no loophole for refused clients.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use traffik::strategy::{
    Ask, FixedWindow, Gcra, Op, SlidingWindow, State, Strategy as Counting, TokenBucket,
};
use traffik::test_kit::ManualClock;
use traffik::{MemoryBackend, Rate, Registry, Throttle, hit_all};

use crate::support::{Result, memory, throttle};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

#[tokio::test]
async fn as_many_keys_as_its_capacity_are_all_remembered() -> Result {
    let memory = MemoryBackend::builder().capacity(10_000).clock(ManualClock::new()).build();
    let throttle = throttle("mem:all", "2/hour", memory.clone());
    for round in [2, 1, 0] {
        for client in 0..10_000_u64 {
            assert_eq!(throttle.hit(client).await?.is_allowed(), round > 0, "client {client}");
        }
    }
    assert_eq!(memory.len(), 10_000);
    Ok(())
}

#[tokio::test]
async fn a_client_without_an_account_is_no_key() -> Result {
    let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
    let throttle = throttle("mem:gone", "5/hour", memory.clone());
    for client in 0..30_u64 {
        assert!(throttle.hit(client).cost(2).await?.is_allowed());
    }
    for client in 0..10_u64 {
        throttle.reset(client).await?;
        throttle.refund(client + 10, 2).await?;
        throttle.refund(client + 20, 1).await?;
    }
    assert_eq!(memory.len(), 10);
    Ok(())
}

/// Capacities that users pass when they want no bound.
#[tokio::test]
async fn the_highest_capacity_takes_no_more_room_than_its_keys() -> Result {
    for capacity in [usize::MAX, u32::MAX as usize, 0] {
        let memory = MemoryBackend::builder().capacity(capacity).clock(ManualClock::new()).build();
        let throttle = throttle("mem:highest", "1/hour", memory.clone());
        assert!(memory.capacity() >= 1 && memory.bytes() < 1 << 26, "{} bytes", memory.bytes());
        assert!(throttle.hit("ann").await?.is_allowed());
        assert!(!throttle.hit("ann").await?.is_allowed());
        assert_eq!((memory.reclaim(), memory.len()), (0, 1));
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_frees_nobody_who_is_refused() -> Result {
    let memory = MemoryBackend::builder().capacity(1_000).clock(ManualClock::new()).build();
    let throttle = throttle("mem:flood", "3/hour", memory.clone());
    for client in 0..100_u64 {
        for _ in 0..4 {
            let _ = throttle.hit(client).await?;
        }
    }
    for client in 1_000..200_000_u64 {
        let _ = throttle.hit(client).await?;
        assert!(memory.len() <= 1_000);
    }
    let mut freed = Vec::new();
    for client in 0..100_u64 {
        if throttle.hit(client).await?.is_allowed() {
            freed.push(client);
        }
    }
    assert!(freed.is_empty(), "freed by the flood: {freed:?}");
    Ok(())
}

/// Twenty clients are refused, and then the store is flooded five times over with fresh keys, each of which is hit as
/// often as given. Returns how many of the clients pass again. Numbers from `first` on are the clients' and the keys'.
async fn freed(
    limit: &str,
    strategy: Arc<dyn Counting>,
    (rate, cost, hits): (&str, u64, u64),
    first: u64,
) -> Result<u64> {
    let memory = MemoryBackend::builder().capacity(1_000).clock(ManualClock::new()).build();
    let login = Throttle::builder("mem:login")
        .rate(limit)
        .strategy(strategy)
        .backend(memory.clone())
        .registry(&Registry::new())
        .build()?;
    let other = throttle("mem:other", rate, memory);
    let clients = first..first + 20;
    for refused in clients.clone() {
        for _ in 0..6 {
            let _ = login.hit(refused).await?;
        }
    }
    for fresh in first..first + 5_000 {
        for _ in 0..hits {
            let _ = other.hit(fresh).cost(cost).await?;
        }
    }
    let mut freed = 0;
    for refused in clients {
        freed += u64::from(login.check(refused).await?.is_allowed());
    }
    Ok(freed)
}

/// Keys that use up their whole limit at once, or are refused as well, under longer and shorter limits.
#[tokio::test]
async fn nor_does_one_of_keys_that_are_used_up_at_once() -> Result {
    let floods = [("1/hour", 1, 1), ("10/hour", 10, 1), ("1/min", 1, 1), ("1/hour", 1, 2), ("1/s", 1, 2)];
    let (mut alike, mut clients) = (0, 0);
    // Others each time: who shares a bucket with whom is a matter of luck, and the same for the whole process.
    let mut first = (0..).step_by(5_000);
    let mut next = || first.next().unwrap_or_default();
    for limit in ["5/min", "5/day"] {
        let strategies: [Arc<dyn Counting>; 3] =
            [Arc::new(FixedWindow::new()), Arc::new(TokenBucket::new()), Arc::new(Gcra::new().burst(5))];
        for strategy in strategies {
            for flood in floods {
                let freed = freed(limit, strategy.clone(), flood, next()).await?;
                assert_eq!(freed, 0, "{strategy:?} with {limit}, flooded with {flood:?}");
            }
            // Refused keys that expire when the clients' do can be told from them only by their age, and each bucket
            // knows only which of its keys is the newest. One client in fifty is freed on average.
            let flood = if limit == "5/min" { ("1/min", 1, 2) } else { ("1/day", 1, 2) };
            alike += freed(limit, strategy, flood, next()).await?;
            clients += 20;
        }
    }
    assert!(alike * 6 <= clients, "{alike} of {clients} clients");
    Ok(())
}

/// The keys of one batch are inserted under the locks of all of them.
#[tokio::test]
async fn a_batch_of_more_keys_than_the_capacity_leaves_no_surplus() -> Result {
    for capacity in 1..4 {
        let memory = MemoryBackend::builder().capacity(capacity).clock(ManualClock::new()).build();
        let throttles: Vec<_> =
            (0..5).map(|number| throttle(&format!("mem:batch:{number}"), "1/hour", memory.clone())).collect();
        for client in 0..10_u64 {
            assert!(hit_all(&throttles, client).await?.is_allowed());
            assert!(memory.len() <= capacity, "{} keys of {capacity}", memory.len());
        }
    }
    Ok(())
}

/// Ten million clients with `TRAFFIK_LONG=1`, which is meant for release builds, and one million otherwise.
#[tokio::test]
async fn millions_of_clients_stay_within_the_capacity() -> Result {
    const CAPACITY: usize = 100_000;
    let long = std::env::var("TRAFFIK_LONG").is_ok_and(|value| value == "1");
    let clients: u64 = if long { 10_000_000 } else { 1_000_000 };
    let memory = MemoryBackend::builder().capacity(CAPACITY).clock(ManualClock::new()).build();
    let throttle = throttle("mem:millions", "2/hour", memory.clone());
    for _ in 0..3 {
        let _ = throttle.hit("refused before").await?;
    }
    for client in 0..clients {
        let _ = throttle.hit(client).await?;
        if client % 1_000 == 0 {
            assert!(memory.len() <= CAPACITY);
            assert!(!throttle.hit("refused before").await?.is_allowed(), "freed after {client} clients");
        }
    }
    println!("{clients} clients: {} keys in {} bytes", memory.len(), memory.bytes());
    assert!(memory.len() > CAPACITY / 2, "{} keys", memory.len());
    assert!(memory.bytes() <= CAPACITY * 40, "{} bytes", memory.bytes());
    Ok(())
}

/// A test that waits for long enough does not set the clock back.
#[tokio::test]
async fn a_manual_clock_stops_at_its_end() -> Result {
    for rate in ["1/s", "1/36500 days"] {
        let (memory, clock) = memory();
        let throttle = throttle("mem:end", rate, memory);
        assert!(throttle.hit("ann").await?.is_allowed());
        assert!(!throttle.hit("ann").await?.is_allowed());
        clock.advance(Duration::MAX);
        assert!(throttle.hit("ann").await?.is_allowed(), "{rate} at {:?}", clock.now());
        clock.advance(Duration::MAX);
        assert!(!throttle.hit("ann").await?.is_allowed(), "{rate}: it goes no further");
    }
    Ok(())
}

#[tokio::test]
async fn expired_keys_make_room_first() -> Result {
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder().capacity(1_000).clock(clock.clone()).build();
    let (short, long) =
        (throttle("mem:short", "5/s", memory.clone()), throttle("mem:long", "5/day", memory.clone()));
    for client in 0..500_u64 {
        let _ = long.hit(client).await?;
    }
    for round in 0..200_u64 {
        clock.advance(Duration::from_secs(3));
        for client in 0..400 {
            let _ = short.hit(round * 1_000 + client).await?;
        }
    }
    assert!(memory.len() <= 1_000);
    for client in 0..500_u64 {
        assert_eq!(
            long.stat(client).await?.ok_or("exempt")?.used,
            1,
            "a live key was dropped before an expired one"
        );
    }
    clock.advance(Duration::from_secs(200_000));
    memory.reclaim();
    assert_eq!(memory.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_million_hits_drift_by_nothing() -> Result {
    let (memory, clock) = memory();
    let throttle = Throttle::builder("mem:drift")
        .rate("999983/min")
        .strategy(TokenBucket::new().burst(7))
        .backend(memory)
        .registry(&Registry::new())
        .build()?;
    let (start, mut admitted) = (clock.now(), 0_u128);
    for _ in 0..1_000_000 {
        admitted += u128::from(throttle.hit("u").await?.is_allowed());
        clock.advance(Duration::from_micros(37));
    }
    // The last hit came one step before `now`. Every token that had arrived by then was taken, except for a
    // fraction of one that is still in the bucket.
    let elapsed = (clock.now() - start).as_micros() - 37;
    let arrived = 7 + elapsed * 999_983 / 60_000_000;
    assert!(admitted <= arrived && arrived - admitted <= 1, "{admitted} of {arrived}");
    Ok(())
}

/// Rates and strategies whose state always fits into a key's twelve bytes, never fits, or fits at times.
fn policies() -> impl Strategy<Value = (Rate, Arc<dyn Counting>)> {
    let rates = prop_oneof![
        Just(Rate::per_minute(20)),
        Just(Rate::per_hour(7)),
        Just(Rate::per_day(10_007)),
        Just(Rate::per_day(9_999_999)),
    ];
    let strategies: [Arc<dyn Counting>; 4] = [
        Arc::new(FixedWindow::new()),
        Arc::new(SlidingWindow::new()),
        Arc::new(TokenBucket::new()),
        Arc::new(Gcra::new().burst(20)),
    ];
    (rates, prop::sample::select(strategies.to_vec()))
        .prop_filter("can be counted exactly", |(rate, strategy)| strategy.validate(rate).is_ok())
}

/// Time steps: within a window, to other windows, beyond the range of the store's own clock, and back.
fn steps() -> impl Strategy<Value = Vec<(i64, u64)>> {
    const HOUR: i64 = 3_600_000_000;
    let step = prop_oneof![
        4 => 0..HOUR / 60,
        2 => 0..48 * HOUR,
        1 => 0..30_000 * HOUR,
        1 => -2 * HOUR..0,
        1 => -60_000 * HOUR..0,
    ];
    let cost = prop_oneof![1_u64..5, 1_u64..6_000_000];
    prop::collection::vec((step, cost), 1..40)
}

proptest! {
    /// How a state is stored does not affect what it means, over decades.
    #[test]
    fn states_of_any_size_and_time_are_kept_whole((rate, strategy) in policies(), steps in steps()) {
        let (clock, runtime) = (ManualClock::new(), runtime());
        let memory = MemoryBackend::builder().clock(clock.clone()).build();
        let throttle = Throttle::builder("mem:wide")
            .rate(rate)
            .strategy(strategy.clone())
            .backend(memory)
            .registry(&Registry::new())
            .build()?;
        let mut state = State::Empty;
        for (step, cost) in steps {
            let now = clock.now().as_micros() as u64;
            clock.set(Duration::from_micros(now.saturating_add_signed(step)));
            let now = clock.now().as_micros() as u64;
            let wanted = strategy.step(&mut state, &Ask::new(Op::Hit, now, &rate, cost));
            let decision = runtime.block_on(throttle.hit("client").cost(cost).into_future());
            let stat = decision?.stat().cloned().ok_or_else(|| TestCaseError::fail("exempt"))?;
            prop_assert_eq!(
                (stat.remaining, stat.used, stat.reset_after),
                (wanted.remaining, wanted.used, Duration::from_micros(wanted.reset_after)),
                "at {} {}: {:?}", rate, now, state
            );
        }
    }
}
