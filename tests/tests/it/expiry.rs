//! Every key expires once its state no longer matters: never earlier, and at most a second later.

use std::time::{Duration, Instant};

use traffik::Throttle;
use traffik::test_kit::ManualClock;
use traffik_tests::{Noted, RedisServer, strategies};

use crate::support::{manual, patient, throttle};

const RATES: [&str; 5] = ["20/min", "100/s", "20/day", "1_000_000/day", "40/s"];

/// The source of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The server's clock, which keeps running.
    Server,
    /// The time passed as an argument, which stands still.
    Argument,
}

struct Scene<'a> {
    server: &'a RedisServer,
    noted: &'a Noted,
    throttle: Throttle,
    mode: Mode,
}

impl Scene<'_> {
    /// Checks the expiry of the only key against how long its state still matters. `began` is
    /// an instant before the operation.
    async fn expires(&self, began: Instant, what: &str) {
        let key = self.server.keys().pop();
        let left: i64 = match &key {
            Some(key) => self.server.command(&["PTTL", key]),
            None => -2,
        };
        assert_ne!(left, -1, "{what}: {key:?} never expires");
        let stat = self.throttle.stat("ann").await.unwrap().unwrap();
        let need = self.noted.keep_for();
        assert!(need >= stat.reset_after, "{what}: {need:?} of {stat:?}");
        // -2: there is no such key, or it has expired since it was listed.
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let (late, second) = (began.elapsed(), Duration::from_secs(1));
        match self.mode {
            // The key was read first, so by now it is needed for less time.
            Mode::Server => {
                let need = Duration::from_millis(need.as_millis() as u64);
                assert!(left >= need && left <= need + late + second, "{what}: {left:?} left of {need:?}");
            }
            Mode::Argument => {
                assert!(left + late >= need && left <= need + second, "{what}: {left:?} left of {need:?}");
            }
        }
    }

    async fn take(&self, operation: &str) {
        let (word, units) = operation.split_once(' ').unwrap_or((operation, "1"));
        let units: u64 = units.parse().unwrap();
        let reserve = async || self.throttle.reserve("ann").cost(2).await.unwrap();
        match word {
            "refund" => self.throttle.refund("ann", units).await.unwrap(),
            "settle" => drop(reserve().await.settle(units).await.unwrap()),
            "cancel" => reserve().await.cancel().await.unwrap(),
            "reset" => self.throttle.reset("ann").await.unwrap(),
            "check" => assert!(self.throttle.check("ann").await.unwrap().is_allowed()),
            "refused" => assert!(!self.throttle.hit("ann").cost(u64::MAX).await.unwrap().is_allowed()),
            _ => assert!(self.throttle.hit("ann").cost(units).await.unwrap().is_allowed(), "{operation}"),
        }
    }
}

async fn after_every_operation(mode: Mode) {
    const OPERATIONS: [&str; 11] = [
        "hit",
        "hit 3",
        "refused",
        "check",
        "refund 2",
        "settle 1",
        "settle 3",
        "cancel",
        "settle 99999999",
        "refund 1",
        "reset",
    ];
    let server = &RedisServer::start();
    let backend = match mode {
        Mode::Server => patient(server).await,
        Mode::Argument => manual(server, ManualClock::new()).await.into(),
    };
    let noted = &Noted::new(backend);
    for (name, strategy) in strategies(10) {
        for rate in RATES {
            let builder = throttle(name, rate).strategy(strategy.clone()).backend(noted.clone());
            let throttle = builder.build().unwrap();
            let scene = Scene { server, noted, throttle, mode };
            for operation in OPERATIONS {
                let began = Instant::now();
                scene.take(operation).await;
                scene.expires(began, &format!("{name} at {rate} after {operation}, time by {mode:?}")).await;
            }
            assert_eq!(server.keys(), Vec::<String>::new(), "{name} at {rate} after a reset");
        }
    }
}

#[tokio::test]
async fn by_the_servers_time() {
    after_every_operation(Mode::Server).await;
}

#[tokio::test]
async fn by_the_time_that_is_passed_in() {
    after_every_operation(Mode::Argument).await;
}
