//! Several limits at once: all or nothing, and the first refusal is the one reported.

use traffik::strategy::{Gcra, TokenBucket};
use traffik::{SharedBackend, Throttle, hit_all};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle};

fn three(backend: &SharedBackend) -> [Throttle; 3] {
    let rate = |limit: u32| format!("{limit}/{FOREVER}");
    [
        throttle("burst", &rate(4)).backend(backend).build().unwrap(),
        throttle("bucket", &rate(3)).strategy(TokenBucket::new()).backend(backend).build().unwrap(),
        throttle("paced", &rate(2)).strategy(Gcra::new().burst(2)).backend(backend).build().unwrap(),
    ]
}

async fn used(throttles: &[Throttle], who: &str) -> Vec<u64> {
    let mut used = Vec::new();
    for throttle in throttles {
        used.push(throttle.stat(who).await.unwrap().unwrap().used);
    }
    used
}

#[tokio::test]
async fn nothing_is_charged_when_any_refuses() {
    let server = RedisServer::start();
    let throttles = three(&patient(&server).await);

    for _ in 0..2 {
        assert!(hit_all(&throttles, "ann").await.unwrap().is_allowed());
    }
    assert_eq!(used(&throttles, "ann").await, [2, 2, 2]);
    for _ in 0..5 {
        let refused = hit_all(&throttles, "ann").await.unwrap();
        assert_eq!(refused.throttled().unwrap().uid(), "paced");
        assert!(refused.throttled().unwrap().retry_after().is_some());
    }
    assert_eq!(used(&throttles, "ann").await, [2, 2, 2], "the two with room paid nothing");
    assert!(hit_all(&throttles, "bob").await.unwrap().is_allowed());
}

#[tokio::test]
async fn the_first_refusal_in_order_is_reported() {
    let server = RedisServer::start();
    let [burst, bucket, paced] = three(&patient(&server).await);
    for (throttle, cost) in [(&bucket, 3), (&paced, 2)] {
        assert!(throttle.hit("ann").cost(cost).await.unwrap().is_allowed());
    }
    let reported =
        async |order: [&Throttle; 3]| hit_all(order, "ann").await.unwrap().throttled().unwrap().uid();
    assert_eq!(reported([&burst, &bucket, &paced]).await, "bucket");
    assert_eq!(reported([&burst, &paced, &bucket]).await, "paced");
    assert_eq!(reported([&paced, &burst, &bucket]).await, "paced");
}

#[tokio::test]
async fn the_account_nearest_to_its_limit_speaks_for_the_rest() {
    let server = RedisServer::start();
    let throttles = three(&patient(&server).await);
    let passed = hit_all(&throttles, "ann").await.unwrap();
    assert_eq!((passed.stat().unwrap().uid, passed.stat().unwrap().remaining), ("paced", 1));
}
