//! Reservations on a real Redis: settled in one call, with the same outcome as in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::Request;
use tower::ServiceExt;
use traffik::strategy::{
    Adaptive, CostAdaptive, FixedWindow, Gcra, LeakyBucket, LeakyQueue, Rollover, SlidingLog, SlidingWindow,
    Strategy, TimeOfDay, TokenBucket,
};
use traffik::{Charge, OnCancel, QuotaContext, Settled, Traffik};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle, used};

#[tokio::test]
async fn every_strategy_is_settled_as_in_memory() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let strategies: [Arc<dyn Strategy>; 11] = [
        Arc::new(FixedWindow::new()),
        Arc::new(SlidingWindow::new()),
        Arc::new(SlidingLog::new()),
        Arc::new(TokenBucket::new()),
        Arc::new(LeakyBucket::new()),
        Arc::new(LeakyQueue::new()),
        Arc::new(Gcra::new().burst(100)),
        Arc::new(Adaptive::new()),
        Arc::new(CostAdaptive::new()),
        Arc::new(TimeOfDay::new()),
        Arc::new(Rollover::new().percent(1)),
    ];
    for strategy in strategies {
        // A period so long that nothing is replenished during the test.
        let builder = throttle("reserve", "100/3650 days").strategy(strategy.clone());
        let throttle = builder.backend(&backend).build().unwrap();
        let full = throttle.stat("ann").await.unwrap().unwrap().remaining;
        let reserve = async |cost| throttle.reserve("ann").cost(cost).await.unwrap();
        assert_eq!(reserve(50).await.settle(20).await.unwrap(), Settled::InFull, "{strategy:?}");
        assert_eq!(used(&throttle).await, 20, "{strategy:?}");
        assert_eq!(reserve(5).await.settle(35).await.unwrap(), Settled::InFull, "{strategy:?}");
        assert_eq!(used(&throttle).await, 55, "{strategy:?}");
        let settled = reserve(5).await.settle(full).await.unwrap();
        assert_eq!(settled, Settled::AtLimit { missing: 55 }, "{strategy:?}");
        assert_eq!(used(&throttle).await, full, "{strategy:?}");
        assert!(throttle.reserve("ann").await.is_err(), "{strategy:?}");
    }
}

#[tokio::test]
async fn debt_is_taken_and_a_cost_beyond_any_account_finds_no_room() {
    let server = RedisServer::start();
    let bucket = TokenBucket::new().burst(100).debt(50);
    let builder = throttle("reserve:debt", "100/3650 days").strategy(bucket);
    let throttle = builder.backend(patient(&server).await).build().unwrap();
    let one = throttle.reserve("ann").cost(60).await.unwrap();
    let other = throttle.reserve("ann").cost(20).await.unwrap();
    assert_eq!(one.settle(110).await.unwrap(), Settled::InDebt { units: 30 });
    assert_eq!(other.settle(u64::MAX).await.unwrap(), Settled::AtLimit { missing: u64::MAX - 40 });
    assert_eq!(used(&throttle).await, 150);
}

#[tokio::test]
async fn a_dropped_reservation_is_given_back_by_a_task() {
    let server = RedisServer::start();
    let builder = throttle("reserve:dropped", &format!("10/{FOREVER}")).on_cancel(OnCancel::Refund);
    let throttle = builder.backend(patient(&server).await).build().unwrap();
    drop(throttle.reserve("ann").cost(4).await.unwrap());
    let given_back = async {
        while used(&throttle).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), given_back).await.unwrap();
}

#[tokio::test]
async fn a_stack_is_settled_by_one_script() {
    #[traffik::throttle("reserve:minute", rate = "500/36500 days", cost = 100)]
    #[traffik::throttle("reserve:day", rate = "1000/3650 days", cost = 300, strategy = "token_bucket")]
    #[traffik::throttle("reserve:log", rate = "300/3650 days", cost = 1, strategy = "sliding_log")]
    async fn settled(charge: Charge) -> String {
        format!("{:?}", charge.settle(200).await.unwrap())
    }
    let server = RedisServer::start();
    let layer = Traffik::builder().backend(patient(&server).await).build().layer();
    let app = Router::new().route("/", get(settled)).layer(layer);
    let send = async || {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 40_000))));
        let response = app.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(response.into_body(), 1_000).await.unwrap()
    };
    // The first call loads the script.
    assert_eq!(send().await, "InFull");
    server.reset_stats();
    assert_eq!(send().await, "AtLimit { missing: 100 }");
    assert_eq!(server.commandstats().get("evalsha"), Some(&2), "one to decide, one to settle");
}

#[tokio::test]
async fn a_quota_is_applied_and_cancelled_all_or_nothing() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let build = |uid, rate| throttle(uid, rate).backend(&backend).build().unwrap();
    let (one, other) = (build("quota:one", "10/3650 days"), build("quota:other", "5/3650 days"));
    let quota = QuotaContext::new("ann");
    quota.add(&one, 3);
    quota.add(&other, 2);
    // The first call loads the script.
    assert!(quota.check().await.unwrap().is_allowed());
    server.reset_stats();
    assert!(quota.apply().await.unwrap().is_allowed());
    assert!(quota.apply().await.unwrap().is_allowed(), "charged once");
    assert_eq!(server.commandstats().get("evalsha"), Some(&1));
    assert_eq!((used(&one).await, used(&other).await), (3, 2));

    quota.add(&one, 1);
    quota.add(&other, 4);
    assert!(!quota.reserve().await.unwrap().is_allowed());
    assert_eq!((used(&one).await, used(&other).await), (3, 2), "all or nothing");
    quota.cancel().await.unwrap();
    quota.add(&other, 3);
    assert!(quota.reserve().await.unwrap().is_allowed());
    assert_eq!(used(&other).await, 5);
    quota.cancel().await.unwrap();
    assert_eq!(used(&other).await, 2);
}
