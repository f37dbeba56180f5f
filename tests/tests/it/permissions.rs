//! A Redis user with no other rights than those that the guide names can do everything that the library does.

use std::time::Duration;

use traffik::{Error, RedisBackend, SharedBackend, hit_all};
use traffik_tests::permissions::{further_rules, rules};
use traffik_tests::{RedisServer, strategies};

use crate::support::throttle;

async fn connect(server: &RedisServer, database: u8) -> Result<SharedBackend, Error> {
    let url = format!("redis://app:secret@127.0.0.1:{}/{database}", server.port());
    Ok(RedisBackend::builder(url).timeout(Duration::from_secs(10)).connect().await?.into())
}

async fn everything_works(backend: &SharedBackend) {
    for (name, strategy) in strategies(10) {
        let builder = throttle(name, "10/day").strategy(strategy).backend(backend);
        let throttle = builder.build().unwrap();
        let [older, newer] =
            [throttle.reserve("ann").await.unwrap(), throttle.reserve("ann").cost(2).await.unwrap()];
        newer.cancel().await.unwrap();
        for _ in 0..4 {
            drop(hit_all([&throttle], "ann").await.unwrap());
        }
        older.settle(2).await.unwrap();
        throttle.refund("ann", 1).await.unwrap();
        assert!(throttle.check("ann").await.unwrap().is_allowed());
        throttle.stat("ann").await.unwrap();
        throttle.reset("ann").await.unwrap();
    }
}

#[tokio::test]
async fn of_the_guide_are_enough_and_none_is_too_many() {
    let server = RedisServer::start();
    let set = |rules: &[&str]| server.command::<()>(&[&["ACL", "SETUSER", "app"], rules].concat());
    set(&rules());
    everything_works(&connect(&server, 0).await.unwrap()).await;
    // Each command that the guide names has been called.
    let stats = server.commandstats();
    for command in rules().iter().filter_map(|rule| rule.strip_prefix('+')) {
        assert!(stats.contains_key(command), "{command} is not needed: {stats:?}");
    }
}

#[tokio::test]
async fn of_another_database_take_one_more() {
    let server = RedisServer::start();
    let set = |rules: &[&str]| server.command::<()>(&[&["ACL", "SETUSER", "app"], rules].concat());
    set(&rules());
    assert!(connect(&server, 1).await.is_err());
    set(&further_rules("A database other than 0"));
    everything_works(&connect(&server, 1).await.unwrap()).await;
}
