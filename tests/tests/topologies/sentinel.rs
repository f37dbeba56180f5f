//! A master with two replicas and three Sentinels.

use std::time::{Duration, Instant};

use traffik::{RedisBackend, SharedBackend, hit_all};
use traffik_tests::{Proxy, RedisSentinels, RedisServer};

use crate::load::{DEADLINE, Load, Sum, all_counted, exact, stack, throttle};
use crate::table;

async fn connect(sentinels: &RedisSentinels) -> SharedBackend {
    let builder = RedisBackend::builder("redis://unused/").sentinel(sentinels.urls(), "mymaster");
    builder.timeout(DEADLINE).connect().await.unwrap().into()
}

/// Injects the fault while requests keep coming, and expects a replica to take over.
async fn takes_over(name: &str, sentinels: &mut RedisSentinels, fault: impl FnOnce(&mut RedisSentinels)) {
    let backend = connect(sentinels).await;
    let stack = stack(&backend);
    let clients: Vec<u64> = (0..4).collect();
    assert!(hit_all(&stack, 9).await.unwrap().is_allowed());
    sentinels.servers()[0].reset_stats();
    assert!(hit_all(&stack, 9).await.unwrap().is_allowed());
    assert_eq!(sentinels.servers()[0].decisions(), 1, "stacked throttles are one call, of the master");

    let load = Load::start(&stack, &clients, DEADLINE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    fault(sentinels);
    tokio::task::block_in_place(|| sentinels.wait_until_replaced());
    all_counted(&stack, &clients).await;
    let after = began.elapsed();
    exact(&backend, 10).await;
    let counts = load.end().await;
    let sum = Sum::of(&counts);
    table::put(name, &sum, after);
    assert!(sum.failed > 0, "nobody noticed");
}

/// Not the host of the builder's URL, where there is no server.
async fn errors_name_the_master(sentinels: &RedisSentinels) {
    let backend = connect(sentinels).await;
    let master = &sentinels.servers()[0];
    master.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = throttle("named", 100, &backend).hit(1).await.unwrap_err().to_string();
    master.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(error.contains(&format!("redis at 127.0.0.1:{}", master.port())), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_dies_and_a_replica_takes_over_under_load() {
    let mut sentinels = RedisSentinels::start();
    errors_name_the_master(&sentinels).await;
    takes_over("a master under Sentinels killed", &mut sentinels, RedisSentinels::kill_master).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_stops_and_a_replica_takes_over_under_load() {
    let mut sentinels = RedisSentinels::start();
    let stop = |sentinels: &mut RedisSentinels| sentinels.servers()[0].pause();
    takes_over("a master under Sentinels stopped (`SIGSTOP`)", &mut sentinels, stop).await;
    // The old master still considers itself the master, but no client is directed to it.
    sentinels.servers()[0].resume();
    let backend = connect(&sentinels).await;
    for client in 20..23 {
        exact(&backend, client).await;
    }
}

/// To ask a Sentinel and its master takes five answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distant_master_is_found() {
    let (distance, server) = (Duration::from_millis(250), RedisServer::start());
    let proxy = Proxy::start(server.port()).await;
    let port = proxy.url().trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let sentinel = RedisServer::start_sentinel(&format!("sentinel monitor distant 127.0.0.1 {port} 1\n"));
    let way = Proxy::start(sentinel.port()).await;
    [&proxy, &way].iter().for_each(|proxy| proxy.latency(distance));
    let builder = RedisBackend::builder("redis://any").sentinel([way.url()], "distant");
    builder.timeout(Duration::from_secs(5)).connect().await.unwrap();
}
