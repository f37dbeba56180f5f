//! A Redis user with no other rights than those that the guide names, in a cluster and under Sentinels.

use tokio::runtime::Handle;
use tokio::task::block_in_place;
use traffik::{Error, RedisBackend, SharedBackend};
use traffik_tests::permissions::{further_rules, rules};
use traffik_tests::{RedisCluster, RedisSentinels, RedisServer};

use crate::load::{DEADLINE, throttle};

fn allow(servers: &[RedisServer], rules: &[&str]) {
    for server in servers {
        server.command::<()>(&[&["ACL", "SETUSER", "app"], rules].concat());
    }
}

fn url(server: &RedisServer) -> String {
    format!("redis://app:secret@127.0.0.1:{}/", server.port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_takes_those_of_the_guide() {
    let cluster = RedisCluster::start();
    let connect = async || -> Result<SharedBackend, Error> {
        let [first, rest @ ..] = cluster.nodes() else { unreachable!("a cluster has nodes") };
        let builder = RedisBackend::builder(url(first)).cluster(rest.iter().map(url));
        Ok(builder.timeout(DEADLINE).connect().await?.into())
    };
    allow(cluster.nodes(), &rules());
    assert!(connect().await.is_err());
    allow(cluster.nodes(), &further_rules("cluster also takes"));
    let throttle = throttle("rights", 100, &connect().await.unwrap());
    for client in 0..6 {
        assert!(throttle.hit(client).await.unwrap().is_allowed());
    }
    let slot = cluster.slot("{n:0}");
    let from = cluster.first_home(slot);
    let half_way = || {
        // The key has moved, but the slot's node is still the old one, which says where to ask.
        let hit = Handle::current().block_on(throttle.hit(0_u64).into_future());
        assert!(hit.unwrap().is_allowed());
    };
    block_in_place(|| cluster.reshard(slot, from, (from + 1) % 3, half_way));
    assert!(cluster.nodes().iter().any(|node| node.commandstats().contains_key("asking")));
    assert_eq!(throttle.stat(0_u64).await.unwrap().unwrap().used, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_under_sentinels_takes_those_of_the_guide() {
    let sentinels = RedisSentinels::start();
    let connect = async || -> Result<SharedBackend, Error> {
        let builder =
            RedisBackend::builder("redis://app:secret@unused/").sentinel(sentinels.urls(), "mymaster");
        Ok(builder.timeout(DEADLINE).connect().await?.into())
    };
    allow(sentinels.servers(), &rules());
    assert!(connect().await.is_err());
    allow(sentinels.servers(), &further_rules("under Sentinels also takes"));
    assert!(throttle("rights", 100, &connect().await.unwrap()).hit(1).await.unwrap().is_allowed());
}
