//! Request costs, on Redis.

use traffik::{Identity, Parts};
use traffik_tests::{RedisServer, request};

use crate::support::{FOREVER, patient, throttle, used};

fn by_header(req: &Parts) -> u64 {
    req.headers.get("x-cost").and_then(|cost| cost.to_str().ok()?.parse().ok()).unwrap_or(1)
}

async fn by_header_later(req: &Parts) -> u64 {
    tokio::task::yield_now().await;
    by_header(req)
}

fn somebody(_: &Parts) -> Identity {
    Identity::key("somebody")
}

#[tokio::test]
async fn literal_and_per_call() {
    let server = RedisServer::start();
    let export = throttle("export", &format!("100/{FOREVER}"))
        .cost(10)
        .backend(patient(&server).await)
        .build()
        .unwrap();

    assert_eq!(export.hit("ann").await.unwrap().stat().unwrap().remaining, 90);
    assert_eq!(export.hit("ann").cost(25).await.unwrap().stat().unwrap().remaining, 65);
    let refused = export.hit("ann").cost(66).await.unwrap();
    assert_eq!(refused.throttled().unwrap().stat().remaining, 65, "a refusal charges nothing");
    assert!(refused.throttled().unwrap().retry_after().is_some());
    assert!(export.hit("ann").cost(65).await.unwrap().is_allowed());
    assert!(!export.hit("ann").cost(1).await.unwrap().is_allowed());

    let never = export.hit("bob").cost(101).await.unwrap();
    assert_eq!(never.throttled().unwrap().retry_after(), None, "waiting can't help");
    assert_eq!(export.hit("bob").cost(u64::MAX).await.unwrap().throttled().unwrap().retry_after(), None);
}

#[tokio::test]
async fn computed_from_the_request() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let rate = format!("100/{FOREVER}");
    let sync =
        throttle("sync", &rate).cost_with(by_header).identifier(somebody).backend(&backend).build().unwrap();
    let later = throttle("later", &rate)
        .cost_with(by_header_later)
        .identifier(somebody)
        .backend(&backend)
        .build()
        .unwrap();

    let heavy = request("/", &[("x-cost", "40")]);
    for throttle in [sync, later] {
        assert_eq!(throttle.hit(&heavy).await.unwrap().stat().unwrap().remaining, 60);
        assert_eq!(throttle.hit(&request("/", &[])).await.unwrap().stat().unwrap().remaining, 59);
        assert!(throttle.check(&heavy).await.unwrap().is_allowed());
        assert_eq!(throttle.hit(&heavy).await.unwrap().stat().unwrap().remaining, 19);
        assert!(!throttle.hit(&heavy).await.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn nothing_is_asked_for_a_cost_of_zero() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let free = throttle("free", "1/day")
        .cost_with(by_header)
        .identifier(|_: &Parts| -> Identity { panic!("the identifier ran for a hit that costs nothing") })
        .backend(backend)
        .build()
        .unwrap();
    server.reset_stats();
    for _ in 0..10 {
        assert!(free.hit(&request("/", &[("x-cost", "0")])).await.unwrap().is_allowed());
        assert!(free.hit("ann").cost(0).await.unwrap().is_allowed());
    }
    assert_eq!(server.decisions(), 0);
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn refund_and_reset() {
    let server = RedisServer::start();
    let quota = throttle("quota", &format!("10/{FOREVER}")).backend(patient(&server).await).build().unwrap();

    assert!(quota.hit("ann").cost(7).await.unwrap().is_allowed());
    quota.refund("ann", 3).await.unwrap();
    assert_eq!(used(&quota).await, 4);
    quota.refund("ann", 100).await.unwrap();
    assert_eq!(quota.stat("ann").await.unwrap().unwrap().remaining, 10, "never above full");
    assert_eq!(server.keys(), Vec::<String>::new(), "a full account takes no room");

    assert!(quota.hit("ann").cost(10).await.unwrap().is_allowed());
    quota.reset("ann").await.unwrap();
    assert_eq!(quota.stat("ann").await.unwrap().unwrap().remaining, 10);
}
