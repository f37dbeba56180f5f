//! A decision takes one script call, however many throttles it involves.

use traffik::strategy::{FixedWindow, Gcra, TokenBucket};
use traffik::{Throttle, hit_all};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle, used};

#[tokio::test]
async fn one_to_five_stacked_throttles_are_one_evalsha() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let rate = format!("1000/{FOREVER}");
    let build = |builder: traffik::ThrottleBuilder| builder.backend(&backend).build().unwrap();
    let throttles = [
        build(throttle("a", &rate)),
        build(throttle("b", &rate).strategy(TokenBucket::new())),
        build(throttle("c", &rate).strategy(Gcra::new().burst(1000))),
        build(throttle("d", &rate).strategy(FixedWindow::new().staggered())),
        build(throttle("e", &rate).strategy(TokenBucket::new().burst(500).debt(7))),
    ];
    for count in 1..=throttles.len() {
        let stack: Vec<&Throttle> = throttles.iter().take(count).collect();
        // The first call with a given set of strategies loads its script.
        assert!(hit_all(stack.iter().copied(), "ann").await.unwrap().is_allowed());

        server.reset_stats();
        const DECISIONS: u64 = 20;
        for _ in 0..DECISIONS {
            assert!(hit_all(stack.iter().copied(), "ann").await.unwrap().is_allowed());
        }
        let mut stats = server.commandstats();
        for own in ["config|resetstat", "info", "hello", "client|setinfo", "select"] {
            stats.remove(own);
        }
        let n = count as u64;
        let expected =
            [("evalsha", DECISIONS), ("get", DECISIONS * n), ("set", DECISIONS * n), ("time", DECISIONS)];
        let stats: Vec<_> = stats.iter().map(|(name, calls)| (name.as_str(), *calls)).collect();
        assert_eq!(stats, expected, "{count} throttles");
        println!("{count} stacked throttles, {DECISIONS} decisions: {stats:?}");
    }
}

#[tokio::test]
async fn questions_are_one_call_too_and_write_nothing() {
    let server = RedisServer::start();
    let throttle = throttle("a", "5/day").backend(patient(&server).await).build().unwrap();
    assert!(throttle.hit("ann").await.unwrap().is_allowed());
    server.reset_stats();
    assert!(throttle.check("ann").cost(4).await.unwrap().is_allowed());
    assert!(!throttle.check("ann").cost(5).await.unwrap().is_allowed());
    assert_eq!(used(&throttle).await, 1);
    assert!(!throttle.hit("ann").cost(5).await.unwrap().is_allowed());
    let stats = server.commandstats();
    assert_eq!((stats.get("evalsha"), stats.get("set"), stats.get("del")), (Some(&4), None, None));
}

#[tokio::test]
async fn in_argument_time_mode_the_server_is_not_asked_for_the_time() {
    let server = RedisServer::start();
    let builder = traffik::RedisBackend::builder(server.url()).clock(traffik::SystemClock);
    let redis = builder.timeout(std::time::Duration::from_secs(10)).connect().await.unwrap();
    let throttle = throttle("a", "5/day").backend(redis).build().unwrap();
    for _ in 0..5 {
        assert!(throttle.hit("ann").await.unwrap().is_allowed());
    }
    assert!(!throttle.hit("ann").await.unwrap().is_allowed());
    assert_eq!(server.commandstats().get("time"), None);
}
