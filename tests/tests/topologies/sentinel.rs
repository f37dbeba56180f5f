//! A master, two replicas, three Sentinels.

use std::time::Duration;

use traffik::{RedisBackend, SharedBackend, hit_all};
use traffik_tests::{RedisSentinels, eventually};

use crate::load::{Load, exact, throttle};

async fn connect(sentinels: &RedisSentinels, timeout: Duration) -> SharedBackend {
    let builder = RedisBackend::builder("redis://unused/").sentinel(sentinels.urls(), "mymaster");
    builder.timeout(timeout).connect().await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_dies_and_a_replica_takes_over_under_load() {
    let mut sentinels = RedisSentinels::start();
    let backend = connect(&sentinels, Duration::from_millis(150)).await;
    let stack = [throttle("mortal", 1_000_000, &backend), throttle("too", 1_000_000, &backend)];
    let clients: Vec<String> = (0..4).map(|client| format!("mortal-{client}")).collect();
    assert!(hit_all(&stack, "ann").await.unwrap().is_allowed());
    sentinels.servers()[0].reset_stats();
    assert!(hit_all(&stack, "ann").await.unwrap().is_allowed());
    assert_eq!(sentinels.servers()[0].decisions(), 1, "stacked throttles are one call, of the master");

    let load = Load::start(&stack, &clients);
    tokio::time::sleep(Duration::from_millis(300)).await;
    sentinels.kill_master();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let counted = async || hit_all(&stack, "ann").await.is_ok();
    let after = eventually(Duration::from_secs(20), counted).await;
    exact(&backend, "fresh").await;
    let counts = load.end().await;
    let allowed: u64 = counts.iter().map(|count| count.allowed).sum();
    let failed: u64 = counts.iter().map(|count| count.failed).sum();
    println!(
        "sentinel: the master killed; {allowed} hits allowed, 0 refused, {failed} failed; counted again after {after:?}"
    );
    assert!(failed > 0, "nobody noticed");
    let used = stack[0].stat("ann").await.unwrap().unwrap().used;
    assert!(used >= 1, "{used}");
}

#[tokio::test]
async fn mistakes_are_named_without_secrets() {
    let builder = RedisBackend::builder("redis://localhost").sentinel(["http://:s3cret@x"], "mymaster");
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_configuration() && !format!("{error} {error:?}").contains("s3cret"), "{error}");
    let builder = RedisBackend::builder("redis://localhost").cluster(["http://:s3cret@x"]);
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_configuration() && !format!("{error} {error:?}").contains("s3cret"), "{error}");
    let none: [&str; 0] = [];
    let error =
        RedisBackend::builder("redis://localhost").sentinel(none, "mymaster").connect().await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
}
