//! Values under the library's keys that are not valid states are treated as empty and replaced.

use std::sync::Mutex;
use std::time::Duration;

use traffik::strategy::SlidingLog;
use traffik::test_kit::ManualClock;
use traffik::{RedisBackend, Throttle};
use traffik_tests::{RedisServer, strategies};

use crate::support::{FOREVER, manual, patient, throttle};

const VALUES: [&str; 12] = [
    "",
    "garbage",
    "1 2 3",
    " 1 2",
    "1,2",
    "-1 5",
    "1e3 5",
    "0x10 5",
    "99999999999999999999 1",
    "1 99999999999999999999",
    "nan inf",
    "=\0\u{1}binary",
];

const OTHER_TYPES: [&[&str]; 5] = [
    &["RPUSH", "", "a"],
    &["HSET", "", "a", "b"],
    &["SADD", "", "a"],
    &["ZADD", "", "1", "a"],
    &["XADD", "", "*", "a", "b"],
];

async fn recovers(server: &RedisServer, throttle: &Throttle, key: &str, value: &str) {
    let stat = throttle.stat("ann").await.unwrap().unwrap();
    assert_eq!(stat.used, 0, "{value:?} counts for nothing");
    assert!(!throttle.hit("ann").cost(u64::MAX).await.unwrap().is_allowed());
    assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 1, "{value:?}");
    assert_eq!(server.command::<String>(&["TYPE", key]), "string", "{value:?} was replaced");
    let left: i64 = server.command(&["PTTL", key]);
    assert!(left > 0, "{value:?} was replaced by something that expires");
    assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 2);
}

#[tokio::test]
async fn is_replaced() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let rate = format!("10/{FOREVER}");
    for (name, strategy) in strategies(10) {
        server.command::<()>(&["FLUSHALL"]);
        let throttle = throttle(name, &rate).strategy(strategy).backend(&backend).build().unwrap();
        assert!(throttle.hit("ann").await.unwrap().is_allowed());
        let key = server.keys().pop().unwrap();
        for value in VALUES {
            server.command::<()>(&["SET", &key, value]);
            recovers(&server, &throttle, &key, value).await;
        }
        for words in OTHER_TYPES {
            server.command::<()>(&["DEL", &key]);
            let words: Vec<&str> =
                words.iter().map(|word| if word.is_empty() { &*key } else { word }).collect();
            server.command::<redis::Value>(&words);
            recovers(&server, &throttle, &key, words[0]).await;
        }
    }
}

/// A state truncated at any byte still gives an answer. It leaves no more units than a fresh account has, and
/// refuses for at most a day, which is how far ahead of the clock a state is believed, plus ten minutes.
#[tokio::test]
async fn cut_off_states_are_states_or_none() {
    const DAY: Duration = Duration::from_secs(86_400);
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let backend = manual(&server, clock.clone()).await;
    for (name, strategy) in strategies(10) {
        server.command::<()>(&["FLUSHALL"]);
        let throttle = throttle(name, "10/min").strategy(strategy).backend(backend.clone()).build().unwrap();
        let full = throttle.stat("ann").await.unwrap().unwrap().remaining;
        for _ in 0..4 {
            assert!(throttle.hit("ann").await.unwrap().is_allowed());
            clock.advance(Duration::from_micros(1));
        }
        let key = server.keys().pop().unwrap();
        let whole: Vec<u8> = server.command(&["GET", &key]);
        for length in 0..whole.len() {
            redis::cmd("SET").arg(&key).arg(&whole[..length]).exec(&mut server.connection()).unwrap();
            let what = format!("{name}: {length} bytes of {whole:?}");
            assert!(throttle.stat("ann").await.unwrap().unwrap().remaining <= full, "{what}");
            let decision = throttle.hit("ann").await.unwrap();
            if let Some(refused) = decision.throttled() {
                assert!(
                    refused.retry_after().unwrap() <= DAY + Duration::from_secs(600),
                    "{what}: {refused}"
                );
            }
            clock.advance(DAY + Duration::from_secs(600));
            assert!(throttle.hit("ann").await.unwrap().is_allowed(), "{what}: still refused");
            let left: i64 = server.command(&["PTTL", &key]);
            assert!(left > 0, "{what} was replaced by something that expires");
        }
    }
}

#[tokio::test]
async fn far_ahead_of_the_clock_does_not_last() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    for (name, strategy) in strategies(10) {
        server.command::<()>(&["FLUSHALL"]);
        let throttle = throttle(name, "10/min").strategy(strategy).backend(&backend).build().unwrap();
        assert!(throttle.hit("ann").await.unwrap().is_allowed());
        let key = server.keys().pop().unwrap();
        // A fully used account, dated to the year 2255.
        server.command::<()>(&["SET", &key, "9000000000000000 10"]);
        if let Some(refused) = throttle.hit("ann").await.unwrap().throttled() {
            assert!(refused.retry_after().unwrap().as_secs() <= 60, "{name}: {refused}");
        }
    }
}

/// Collects the library's warnings.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl tracing::Subscriber for &'static Warnings {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "traffik" && *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line.push_str(&format!("{field}={value:?} "));
        });
        self.0.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

/// Whoever can write to Redis must not be able to flood the log.
#[tokio::test]
async fn is_told_once() {
    tracing::subscriber::set_global_default(&WARNINGS).unwrap();
    let server = RedisServer::start();
    for (name, strategy) in strategies(10) {
        server.command::<()>(&["FLUSHALL"]);
        let namespace = format!("told-{name}");
        let redis =
            RedisBackend::builder(server.url()).namespace(&namespace).timeout(Duration::from_secs(10));
        let backend = redis.connect().await.unwrap();
        let throttle = throttle(name, "10/day").strategy(strategy).backend(backend).build().unwrap();
        let told = || {
            let lines = WARNINGS.0.lock().unwrap();
            lines.iter().filter(|line| line.contains(&format!("namespace={namespace:?}"))).count()
        };
        for round in 0..4 {
            assert_eq!(told(), usize::from(round > 0), "{name}, after {round} of them");
            assert!(throttle.hit("ann").await.unwrap().is_allowed());
            let key = server.keys().pop().unwrap();
            server.command::<()>(&["SET", &key, "garbage"]);
            assert!(throttle.hit("ann").await.unwrap().is_allowed());
        }
    }
}

/// The sum before the only entry of a log is the sum up to it: the entry counts for nothing, but later hits do.
#[tokio::test]
async fn a_log_whose_only_entry_is_empty_counts_what_follows() {
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let backend = manual(&server, clock.clone()).await;
    let throttle = throttle("log", "2/min").strategy(SlidingLog::new()).backend(backend).build().unwrap();
    assert!(throttle.hit("ann").await.unwrap().is_allowed());
    let key = server.keys().pop().unwrap();
    let mut value: Vec<u8> = server.command(&["GET", &key]);
    value.copy_within(17..25, 1);
    redis::cmd("SET").arg(&key).arg(&value).exec(&mut server.connection()).unwrap();
    let mut admitted = Vec::new();
    for _ in 0..3 {
        clock.advance(Duration::from_micros(1));
        admitted.push(throttle.hit("ann").await.unwrap().is_allowed());
    }
    assert_eq!(admitted, [true, true, false]);
}
