//! Runs the suite that every backend must pass against a Redis server. Also checks what the suite cannot see:
//! what is written, how long it stays, and how garbage is handled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use traffik::MemoryBackend;
use traffik::strategy::{LeakyBucket, LeakyQueue, SlidingLog, SlidingWindow, Strategy};
use traffik::test_kit::{ManualClock, conformance};
use traffik_tests::{Mirror, Random, RedisServer, seeds};

use crate::support::{manual, throttle};

#[tokio::test]
async fn the_redis_backend_passes() {
    let server = &RedisServer::start();
    conformance(|clock| manual(server, clock)).await;
}

fn strategies() -> [(&'static str, Arc<dyn Strategy>); 4] {
    [
        ("sliding_window", Arc::new(SlidingWindow::new())),
        ("sliding_log", Arc::new(SlidingLog::new())),
        ("leaky_bucket", Arc::new(LeakyBucket::new())),
        ("leaky_queue", Arc::new(LeakyQueue::new())),
    ]
}

/// The sums of costs in a log and in a queue that never empty exceed 2^53, without any visible effect.
#[tokio::test]
async fn sums_pass_what_lua_counts() {
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder().clock(clock.clone()).build();
    let both = Mirror::new(memory, manual(&server, clock.clone()).await);
    let most = (1_u64 << 52) - 1;
    for (name, strategy) in strategies() {
        let built = throttle(name, &format!("{most}/day")).strategy(strategy).backend(both.clone()).build();
        let Ok(throttle) = built else { continue };
        for seed in seeds(2) {
            let mut random = Random::new(seed);
            let mut passed = 0;
            for _ in 0..200 {
                clock.advance(Duration::from_micros(random.below(40_000_000_000)));
                let cost = most / 2 - random.below(1_000);
                passed += u64::from(throttle.hit(seed).cost(cost).await.unwrap().is_allowed());
                if random.below(9) == 0 {
                    throttle.refund(seed, random.below(most / 4)).await.unwrap();
                }
            }
            assert!(passed > 8, "{name}, seed {seed}: {passed} passed, and the sums stay small");
        }
    }
}

/// A hit on a log of ten thousand entries reads a few entries and appends one.
#[tokio::test]
async fn a_full_log_is_not_rewritten() {
    const LIMIT: u64 = 10_000;
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let backend = manual(&server, clock.clone()).await;
    for (name, strategy) in [strategies()[1].clone(), strategies()[3].clone()] {
        let throttle = throttle(name, &format!("{LIMIT}/100 s"))
            .strategy(strategy)
            .backend(backend.clone())
            .build()
            .unwrap();
        let spaced = Duration::from_millis(10);
        let hit = async || {
            clock.advance(spaced);
            throttle.hit("ann").await.unwrap().is_allowed()
        };
        // A queue drains while it fills, so the first entry is large enough to take up all of the time.
        assert!(throttle.hit("ann").cost(LIMIT / 2).await.unwrap().is_allowed());
        for _ in 0..LIMIT {
            hit().await;
        }
        server.reset_stats();
        let begun = Instant::now();
        for _ in 0..1_000 {
            hit().await;
        }
        let took = begun.elapsed();
        let stats = server.commandstats();
        let info: String = server.command(&["INFO", "commandstats"]);
        let calls = |command: &str| stats.get(command).copied().unwrap_or(0);
        assert_eq!(calls("evalsha"), 1_000);
        assert_eq!(calls("get"), 0, "{name}: {stats:?}");
        assert!(calls("set") <= 2, "{name} was rewritten: {stats:?}");
        assert!(calls("getrange") <= 40 * 1_000, "{name}: {stats:?}");
        assert!(calls("append") >= 400, "{name}: {stats:?}");
        // A refund searches like a hit does, and writes once, however much it takes back.
        let used = async || throttle.stat("ann").await.unwrap().unwrap().used;
        let before = used().await;
        server.reset_stats();
        throttle.refund("ann", LIMIT / 4).await.unwrap();
        let stats = server.commandstats();
        assert_eq!(used().await, before - LIMIT / 4, "{name}");
        let reads = stats.get("getrange").copied().unwrap_or(0);
        assert!(reads <= 80 && stats.get("set") == Some(&1), "{name}: {stats:?}");
        let evalsha = info.lines().find(|line| line.contains("evalsha:")).unwrap_or_default();
        #[allow(clippy::print_stdout)]
        {
            println!("{name}, 10 000 entries: {:?} a hit, {evalsha}", took / 1_000);
        }
    }
}

/// Random bytes, some of which resemble a state: hits are still answered, and no client is refused forever.
#[tokio::test]
async fn garbage_is_an_account_like_any_other() {
    const DAY: u64 = 86_400_000_000;
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let backend = manual(&server, clock.clone()).await;
    for (name, strategy) in traffik_tests::strategies(5) {
        server.command::<()>(&["FLUSHALL"]);
        let throttle = throttle(name, "5/min").strategy(strategy).backend(backend.clone()).build().unwrap();
        assert!(throttle.hit("ann").await.unwrap().is_allowed());
        let key = server.keys().pop().unwrap();
        for seed in seeds(2) {
            let mut random = Random::new(seed);
            for _ in 0..60 {
                let now = u64::try_from(clock.now().as_micros()).unwrap();
                let mut words: Vec<u64> = (0..random.below(12))
                    .map(|_| match random.below(5) {
                        0 => random.number(),
                        1 => random.below(100),
                        2 => u64::MAX,
                        _ => now - DAY + random.below(2 * DAY),
                    })
                    .collect();
                if random.below(2) == 0 {
                    words.sort_unstable();
                }
                let mut value: Vec<u8> = b"=".to_vec();
                value.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                match random.below(4) {
                    0 => value = format!("{} {}", random.below(1 << 53), random.below(1 << 53)).into_bytes(),
                    1 => value.truncate(value.len() - value.len().min(3)),
                    _ => {}
                }
                redis::cmd("SET").arg(&key).arg(&value).exec(&mut server.connection()).unwrap();
                let what = |answer: &str| format!("{name}, seed {seed}: {answer}, of {value:?}");
                for _ in 0..3 {
                    assert!(throttle.check("ann").await.is_ok(), "{}", what("no answer"));
                    assert!(throttle.refund("ann", random.below(3)).await.is_ok(), "{}", what("no answer"));
                    assert!(
                        throttle.hit("ann").cost(1 + random.below(6)).await.is_ok(),
                        "{}",
                        what("no answer")
                    );
                }
                clock.advance(Duration::from_micros(DAY + 120_000_000));
                assert!(throttle.hit("ann").await.unwrap().is_allowed(), "{}", what("still refused"));
            }
        }
    }
}
