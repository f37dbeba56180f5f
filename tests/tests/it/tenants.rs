//! A throttle whose backend depends on the request's context: three tenants, two of them on Redis.

use traffik::{MemoryBackend, Parts, RedisBackend, SharedBackend};
use traffik_tests::{RedisServer, request};

use crate::support::{FOREVER, throttle, used};

async fn namespaced(server: &RedisServer, namespace: &str) -> RedisBackend {
    let builder = RedisBackend::builder(server.url()).namespace(namespace);
    builder.timeout(std::time::Duration::from_secs(10)).connect().await.unwrap()
}

#[tokio::test]
async fn isolated_counters_behind_one_throttle() {
    let server = RedisServer::start();
    let enterprise = namespaced(&server, "enterprise").await;
    let premium = namespaced(&server, "premium").await;
    let free = MemoryBackend::new();
    let quota = throttle("api:quota", &format!("2/{FOREVER}")).dynamic_backend().build().unwrap();

    for round in 0..3 {
        let hit = async || quota.hit("ann").await.unwrap().is_allowed();
        assert_eq!(enterprise.scope(hit()).await, round < 2);
        assert_eq!(premium.scope(hit()).await, round < 2);
        assert_eq!(free.scope(hit()).await, round < 2);
    }
    let mut keys = server.keys();
    keys.sort();
    assert_eq!(keys.len(), 2);
    assert!(
        keys[0].starts_with("enterprise|api:quota|") && keys[1].starts_with("premium|api:quota|"),
        "{keys:?}"
    );
    assert_eq!(free.len(), 1);
}

#[tokio::test]
async fn scopes_nest_and_the_inner_one_wins() {
    let server = RedisServer::start();
    let outer = namespaced(&server, "outer").await;
    let inner = namespaced(&server, "inner").await;
    let quota = throttle("quota", &format!("10/{FOREVER}")).dynamic_backend().build().unwrap();

    outer
        .scope(async {
            assert!(quota.hit("ann").await.unwrap().is_allowed());
            inner.scope(async { assert!(quota.hit("ann").cost(5).await.unwrap().is_allowed()) }).await;
            assert_eq!(used(&quota).await, 1);
        })
        .await;
    assert_eq!(inner.scope(async { quota.stat("ann").await }).await.unwrap().unwrap().used, 5);
}

#[tokio::test]
async fn a_function_of_the_request_comes_first() {
    let server = RedisServer::start();
    let paying: SharedBackend = namespaced(&server, "paying").await.into();
    let others: SharedBackend = MemoryBackend::new().into();
    let resolve = {
        let paying = paying.clone();
        move |req: &Parts| req.headers.contains_key("x-plan").then(|| paying.clone())
    };
    let quota = throttle("quota", &format!("1/{FOREVER}"))
        .identifier(|_: &Parts| traffik::Identity::key("ann"))
        .dynamic_backend_with(resolve)
        .build()
        .unwrap();

    let (plan, none) = (request("/", &[("x-plan", "gold")]), request("/", &[]));
    others
        .scope(async {
            assert!(quota.hit(&plan).await.unwrap().is_allowed());
            assert!(quota.hit(&none).await.unwrap().is_allowed());
            assert!(!quota.hit(&plan).await.unwrap().is_allowed());
            assert!(!quota.hit(&none).await.unwrap().is_allowed());
        })
        .await;
    assert_eq!(server.keys().len(), 1);
}

#[tokio::test]
async fn without_any_context_it_is_a_mistake_and_no_refusal() {
    let quota = throttle("quota", "1/day").dynamic_backend().build().unwrap();
    assert!(quota.hit("ann").await.unwrap_err().is_configuration());
}
