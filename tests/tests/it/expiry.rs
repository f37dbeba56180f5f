//! Every key expires once its state no longer matters: not sooner, and at most a second later.

use std::sync::Arc;
use std::time::Instant;

use traffik::strategy::{FixedWindow, Gcra, Strategy, TokenBucket};
use traffik::{Decision, Throttle};
use traffik_tests::RedisServer;

use crate::support::{patient, throttle};

/// Checks the one key's expiry against how long its account takes to be full again.
async fn check(server: &RedisServer, throttle: &Throttle, what: &str) {
    let asked = Instant::now();
    let Some(key) = server.keys().pop() else {
        assert_eq!(
            throttle.stat("ann").await.unwrap().unwrap().used,
            0,
            "{what}: no key, and yet something is used"
        );
        return;
    };
    let left: i64 = server.command(&["PTTL", &key]);
    assert_ne!(left, -1, "{what}: {key} never expires");
    let need = throttle.stat("ann").await.unwrap().unwrap().reset_after.as_millis();
    let late = asked.elapsed().as_millis();
    // -2: it has expired since it was seen.
    let left = u128::try_from(left).unwrap_or(0);
    // The key was looked at first: what it is needed for since then is less by `late`.
    assert!(left >= need, "{what}: {left} ms left, needed for {need}");
    assert!(left <= need + late + 1000, "{what}: {left} ms left, needed for {need} only");
}

#[tokio::test]
async fn after_every_operation() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let strategies: [(&str, Arc<dyn Strategy>); 5] = [
        ("window", Arc::new(FixedWindow::new())),
        ("staggered", Arc::new(FixedWindow::new().staggered())),
        ("bucket", Arc::new(TokenBucket::new())),
        ("credit", Arc::new(TokenBucket::new().burst(10).debt(5))),
        ("paced", Arc::new(Gcra::new().burst(10))),
    ];
    for (name, strategy) in strategies {
        for rate in ["20/min", "100/s", "10/day", "1_000_000/day"] {
            let throttle = throttle(name, rate).strategy(strategy.clone()).backend(&backend).build().unwrap();
            let what = |operation: &str| format!("{name} at {rate} after {operation}");
            let hit = async |cost| -> Decision { throttle.hit("ann").cost(cost).await.unwrap() };

            assert!(hit(1).await.is_allowed());
            check(&server, &throttle, &what("a hit")).await;
            assert!(hit(5).await.is_allowed());
            check(&server, &throttle, &what("a second hit")).await;
            assert!(!hit(u64::MAX).await.is_allowed());
            check(&server, &throttle, &what("a refusal")).await;
            assert!(throttle.check("ann").await.unwrap().is_allowed());
            check(&server, &throttle, &what("a check")).await;
            throttle.refund("ann", 2).await.unwrap();
            check(&server, &throttle, &what("a refund")).await;
            throttle.reset("ann").await.unwrap();
            check(&server, &throttle, &what("a reset")).await;
            assert_eq!(server.keys(), Vec::<String>::new());
        }
    }
}
