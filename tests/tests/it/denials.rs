//! An attack on a real Redis behind `remember_denials` costs one call per client and window.

use std::time::{Duration, Instant};

use traffik::strategy::TokenBucket;
use traffik::test_kit::ManualClock;
use traffik::{RedisBackend, SharedBackend, hit_all};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, throttle};

async fn remembering(server: &RedisServer, clock: &ManualClock) -> SharedBackend {
    let builder = RedisBackend::builder(server.url()).timeout(Duration::from_secs(10)).clock(clock.clone());
    builder.remember_denials(1000).connect().await.unwrap().into()
}

#[tokio::test]
async fn one_call_a_client_and_window() {
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let throttle = throttle("attack", "2/min").backend(remembering(&server, &clock).await).build().unwrap();
    for window in 0..3 {
        for client in 0..20_u64 {
            for _ in 0..2 {
                assert!(throttle.hit(client).await.unwrap().is_allowed());
            }
        }
        server.reset_stats();
        for second in 0..50 {
            clock.advance(Duration::from_secs(1));
            for client in 0..20_u64 {
                let decision = throttle.hit(client).await.unwrap();
                let wait = decision.throttled().expect("over the limit").retry_after();
                assert_eq!(wait, Some(Duration::from_secs(59 - second)));
            }
        }
        let calls = server.decisions();
        println!("window {window}: 1000 refused requests of 20 clients, {calls} calls of Redis");
        assert_eq!(calls, 20);
        clock.advance(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn by_the_servers_own_clock() {
    let server = RedisServer::start();
    let builder = RedisBackend::builder(server.url()).timeout(Duration::from_secs(10)).remember_denials(10);
    let backend: SharedBackend = builder.connect().await.unwrap().into();
    let limited = throttle("real", "1/s").strategy(TokenBucket::new()).backend(&backend).build().unwrap();
    assert!(limited.hit("ann").await.unwrap().is_allowed());
    let mut refused = limited.hit("ann").await.unwrap();
    server.reset_stats();
    let began = Instant::now();
    let mut hits = 0_u64;
    while let Some(wait) = refused.throttled().map(|refused| refused.retry_after().unwrap()) {
        assert!(wait <= Duration::from_secs(1));
        hits += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        refused = limited.hit("ann").await.unwrap();
    }
    // The client passes once a token is available. A few calls may fall between the ends
    // of the wait on the two clocks.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let calls = server.decisions();
    println!("{hits} refused requests, {calls} calls of Redis");
    assert!(calls <= 2 + hits / 10, "{calls} calls for {hits} hits");
}

#[tokio::test]
async fn what_is_changed_through_one_handle_is_forgotten_by_its_clones() {
    let server = RedisServer::start();
    let clock = ManualClock::new();
    let backend = remembering(&server, &clock).await;
    let rate = format!("2/{FOREVER}");
    let one = throttle("one", &rate).backend(&backend).build().unwrap();
    let two = throttle("two", &format!("9/{FOREVER}")).backend(&backend).build().unwrap();
    let both = async || hit_all([&two, &one], "ann").await.unwrap().throttled().map(|refused| refused.uid());
    assert_eq!([both().await, both().await, both().await], [None, None, Some("one")]);
    server.reset_stats();
    for _ in 0..10 {
        assert_eq!(both().await, Some("one"));
    }
    assert_eq!(server.decisions(), 0);
    one.refund("ann", 1).await.unwrap();
    assert_eq!([both().await, both().await], [None, Some("one")]);
    one.reset("ann").await.unwrap();
    assert_eq!([both().await, both().await, both().await], [None, None, Some("one")]);
    one.set_rate(format!("3/{FOREVER}")).unwrap();
    assert_eq!([both().await, both().await], [None, Some("one")]);
}
