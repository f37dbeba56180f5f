//! Shorthands for what every test here starts with.

use std::time::Duration;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use traffik::test_kit::ManualClock;
use traffik::{MemoryBackend, RedisBackend, Registry, SharedBackend, Throttle, ThrottleBuilder};
pub(crate) use traffik_tests::FOREVER;
use traffik_tests::{Mirror, RedisServer, long_run};

/// Connects a backend whose timeout even a busy machine does not reach.
pub(crate) async fn patient(server: &RedisServer) -> SharedBackend {
    RedisBackend::builder(server.url()).timeout(Duration::from_secs(10)).connect().await.unwrap().into()
}

/// Connects a backend that takes the time from its arguments, with a timeout that even a busy machine does not reach.
pub(crate) async fn manual(server: &RedisServer, clock: ManualClock) -> RedisBackend {
    let redis = RedisBackend::builder(server.url()).clock(clock).timeout(Duration::from_secs(10));
    redis.connect().await.unwrap()
}

/// Builds a throttle in a registry of its own, since other tests may use the same uid.
#[track_caller]
pub(crate) fn throttle(uid: &str, rate: &str) -> ThrottleBuilder {
    Throttle::builder(uid).rate(rate).registry(&Registry::new())
}

/// Returns what the client of most tests has used.
pub(crate) async fn used(throttle: &Throttle) -> u64 {
    throttle.stat("ann").await.unwrap().unwrap().used
}

/// Creates an in-memory store with a stopped clock.
pub(crate) fn memory() -> (ManualClock, SharedBackend) {
    let clock = ManualClock::new();
    (clock.clone(), MemoryBackend::builder().clock(clock).build().into())
}

/// Creates a backend that compares a fresh in-memory store with an emptied Redis, which must agree in every number.
pub(crate) async fn mirrored(server: &RedisServer) -> (ManualClock, SharedBackend) {
    server.command::<()>(&["FLUSHALL"]);
    let (clock, memory) = memory();
    let redis = manual(server, clock.clone()).await;
    (clock, Mirror::new(memory, redis).into())
}

/// Runs the test on random inputs, the same in every run. The long run has fifty times as many. A failure
/// reports the smallest failing input and the seed.
#[track_caller]
pub(crate) fn prove<S: Strategy>(
    what: &str,
    cases: u32,
    input: S,
    test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases: if long_run() { cases * 50 } else { cases },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(error) = TestRunner::new(config).run(&input, |input| runtime.block_on(test(input))) {
        panic!("{what}, seed {:?}: {error}", RngSeed::Fixed(7));
    }
}
