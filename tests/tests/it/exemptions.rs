//! Exempt clients cost nothing on Redis either: no key and no call.

use traffik::test_kit::FaultyBackend;
use traffik::{EXEMPTED, Identity, Parts, hit_all};
use traffik_tests::{RedisServer, request};

use crate::support::{FOREVER, patient, throttle};

fn tiered(req: &Parts) -> Identity {
    match req.headers.get("x-admin") {
        Some(_) => EXEMPTED,
        None => Identity::key("someone"),
    }
}

async fn tiered_later(req: &Parts) -> Identity {
    tokio::task::yield_now().await;
    tiered(req)
}

#[tokio::test]
async fn the_exempt_never_reach_the_backend() {
    let server = RedisServer::start();
    let counted = FaultyBackend::new(patient(&server).await);
    let rate = format!("1/{FOREVER}");
    let sync = throttle("sync", &rate).identifier(tiered).backend(counted.clone()).build().unwrap();
    let later = throttle("later", &rate).identifier(tiered_later).backend(counted.clone()).build().unwrap();
    server.reset_stats();

    let admin = request("/", &[("x-admin", "1")]);
    for throttle in [&sync, &later] {
        for _ in 0..20 {
            assert_eq!(throttle.hit(&admin).await.unwrap(), traffik::Decision::Exempt);
        }
        assert_eq!(throttle.stat(&admin).await.unwrap(), None);
        assert!(throttle.hit(EXEMPTED).await.unwrap().is_allowed());
    }
    assert_eq!((counted.calls(), server.decisions()), (0, 0));

    let other = request("/", &[]);
    for throttle in [&sync, &later] {
        assert!(throttle.hit(&other).await.unwrap().is_allowed());
        assert!(!throttle.hit(&other).await.unwrap().is_allowed());
    }
    assert_eq!(counted.calls(), 4);
}

#[tokio::test]
async fn an_exemption_holds_for_its_own_throttle_only() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let rate = format!("2/{FOREVER}");
    let lenient = throttle("lenient", &rate).identifier(tiered).backend(&backend).build().unwrap();
    let strict = throttle("strict", &rate)
        .identifier(|_: &Parts| Identity::key("all"))
        .backend(&backend)
        .build()
        .unwrap();

    let admin = request("/", &[("x-admin", "1")]);
    for _ in 0..2 {
        assert!(hit_all([&lenient, &strict], &admin).await.unwrap().is_allowed());
    }
    let refused = hit_all([&lenient, &strict], &admin).await.unwrap();
    assert_eq!(refused.throttled().unwrap().uid(), "strict");
    assert_eq!(server.keys().len(), 1);
}
