//! Services that start while their cluster or Sentinels are down, and slots whose owner is gone.

use std::time::{Duration, Instant};

use traffik::{RedisBackend, SharedBackend};
use traffik_tests::{RedisCluster, RedisSentinels, RedisServer, Teller, eventually, timed};

use crate::load::{DEADLINE, Load, Sum, all_counted, exact, stack, throttle};
use crate::table;

/// The minimum interval between two queries for the slot map.
const APART: Duration = Duration::from_millis(200);

/// Starts under load while no server answers. `repair` brings all of them back.
async fn starts_while_all_are_down(name: &str, backend: SharedBackend, repair: impl FnOnce()) {
    let stack = stack(&backend);
    let clients: Vec<u64> = (0..6).collect();
    let load = Load::start(&stack, &clients, DEADLINE);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        let (result, _) = timed(DEADLINE, stack[0].hit(9)).await;
        assert!(result.as_ref().is_err_and(traffik::Error::is_backend), "{result:?}");
    }
    tokio::task::block_in_place(repair);
    all_counted(&stack, &clients).await;
    let after = began.elapsed();
    for client in 10..19 {
        exact(&backend, client).await;
    }
    let sum = Sum::of(&load.end().await);
    table::put(name, &sum, after);
    assert!(sum.failed > 10, "{sum:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_before_its_cluster() {
    let mut cluster = RedisCluster::start();
    (0..6).for_each(|node| cluster.kill(node));
    let urls = cluster.urls();
    let builder = || RedisBackend::builder(&urls[0]).cluster(&urls[1..]).timeout(DEADLINE);
    let error = builder().connect().await.unwrap_err();
    assert!(error.is_backend(), "{error}");
    let backend = builder().connect_lazy().unwrap().into();
    let repair = || {
        (0..6).for_each(|node| cluster.resurrect(node));
        cluster.wait_until_whole();
    };
    starts_while_all_are_down("a cluster down at the start", backend, repair).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_before_its_sentinels() {
    let mut sentinels = RedisSentinels::start();
    sentinels.kill_all();
    let urls = sentinels.urls();
    let builder = || {
        RedisBackend::builder("redis://unused/").sentinel(urls.iter().cloned(), "mymaster").timeout(DEADLINE)
    };
    let error = builder().connect().await.unwrap_err();
    assert!(error.is_backend(), "{error}");
    let backend = builder().connect_lazy().unwrap().into();
    let repair = || {
        sentinels.resurrect_all();
        sentinels.wait_until_whole();
    };
    starts_while_all_are_down("a master and its Sentinels down at the start", backend, repair).await;
}

/// A slot map may be stale and name a dead owner. Nothing has been sent in that case, so the hit waits until
/// a node reports the new owner, and is charged once.
#[tokio::test]
async fn a_hit_waits_for_the_new_owner_of_its_slot() {
    let (dead, server) = (RedisServer::stopped(), RedisServer::start());
    let teller = Teller::start(dead.port()).await;
    let none: [&str; 0] = [];
    let connect = |timeout| RedisBackend::builder(teller.url()).cluster(none).timeout(timeout).connect();
    let impatient = throttle("waits", 5, &connect(DEADLINE).await.unwrap().into());
    let (result, took) = timed(DEADLINE, impatient.hit(1)).await;
    assert!(result.as_ref().is_err_and(traffik::Error::is_timeout), "{result:?}");
    assert!(took >= DEADLINE, "it did not wait: {took:?}");

    let patient = throttle("waits", 5, &connect(Duration::from_secs(20)).await.unwrap().into());
    let looked = teller.asked();
    let (throttle, began) = (patient.clone(), Instant::now());
    let hit = tokio::spawn(async move { throttle.hit(1).await });
    eventually(Duration::from_secs(10), async || teller.asked() >= looked + 3).await;
    assert!(began.elapsed() >= 2 * APART, "asked too often");
    assert!(!hit.is_finished());
    teller.name(server.port());
    assert!(hit.await.unwrap().unwrap().is_allowed());
    assert_eq!(patient.stat(1).await.unwrap().unwrap().used, 1, "charged once");
    // The other backend has refreshed its slot map in the meantime, or does so now.
    eventually(Duration::from_secs(10), async || impatient.hit(1).await.is_ok()).await;
    assert_eq!(patient.stat(1).await.unwrap().unwrap().used, 2);
}

/// A node may close an idle connection. The next hit must notice in time to reconnect.
#[tokio::test]
async fn a_node_may_close_idle_connections() {
    let server = RedisServer::start();
    let teller = Teller::start(server.port()).await;
    let none: [&str; 0] = [];
    let builder = RedisBackend::builder(teller.url()).cluster(none).timeout(Duration::from_secs(2));
    let throttle = throttle("idle", 50, &builder.connect_lazy().unwrap().into());
    let mut failed = Vec::new();
    assert!(throttle.hit(1).await.unwrap().is_allowed());
    for _ in 0..10 {
        server.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        failed.extend(throttle.hit(1).await.err());
    }
    assert!(failed.is_empty(), "{} of 10: {failed:?}", failed.len());
}

/// However many requests are waiting, the nodes are asked at most five times a second.
#[tokio::test]
async fn looks_and_connections_are_bounded() {
    let teller = Teller::start(0).await;
    let none: [&str; 0] = [];
    let builder = RedisBackend::builder(teller.url()).cluster(none).timeout(DEADLINE);
    let backend = SharedBackend::from(builder.connect_lazy().unwrap());
    let load = Load::start(&stack(&backend), &(0..50).collect::<Vec<_>>(), DEADLINE);
    let began = Instant::now();
    eventually(Duration::from_secs(10), async || teller.asked() >= 5).await;
    let sum = Sum::of(&load.end().await);
    let looks = began.elapsed().as_millis() / APART.as_millis() + 2;
    assert!(u128::from(teller.asked()) <= looks, "{} looks, {looks} expected", teller.asked());
    assert_eq!(teller.connections(), 2, "one that tried RESP3, and one that stays");
    assert!(sum.failed > 100 && sum.allowed == 0, "{sum:?}");
}
