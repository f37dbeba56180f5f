//! Charges that one request makes at different instants: each is refunded as of its own instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use traffik::strategy::{LeakyQueue, SlidingLog};
use traffik::{
    Charge, Clock, MemoryBackend, OnCancel, QuotaContext, Registry, Throttle, ThrottleLayer, Traffik,
    throttle,
};

use crate::support::{Far, Result, get_from, send};

/// A clock that advances with every read, like a real one.
#[derive(Debug, Clone)]
struct Ticking(Arc<AtomicU64>);

impl Clock for Ticking {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

fn ticking() -> MemoryBackend {
    MemoryBackend::builder().clock(Ticking(Arc::new(AtomicU64::new(1_700_000_000_000_000)))).build()
}

fn on(uid: &str, memory: &MemoryBackend) -> traffik::ThrottleBuilder {
    Throttle::builder(uid).rate("10/hour").registry(&Registry::new()).backend(memory.clone())
}

/// A throttle in shadow mode is charged after the others, in a separate call.
#[tokio::test]
async fn what_a_shadow_was_charged_is_given_back_too() -> Result {
    let memory = ticking();
    let queue = |builder: traffik::ThrottleBuilder| builder.strategy(LeakyQueue::new());
    let log = |builder: traffik::ThrottleBuilder| builder.strategy(SlidingLog::new());
    for shadow in [queue(on("instants:queue", &memory)), log(on("instants:log", &memory))] {
        let (enforced, shadow) = (on("instants:enforced", &memory).build()?, shadow.shadow().build()?);
        let quota = QuotaContext::new("ann");
        quota.add(&enforced, 3);
        quota.add(&shadow, 3);
        assert!(quota.reserve().await?.is_allowed());
        quota.cancel().await?;
        for throttle in [&enforced, &shadow] {
            let used = throttle.stat("ann").await?.ok_or("exempt")?.used;
            assert_eq!(used, 0, "{}", throttle.uid());
        }
    }
    Ok(())
}

/// A layer charges earlier than the attribute, and both charges are settled in one call.
#[tokio::test]
async fn what_layer_and_attribute_have_charged_is_settled_as_of_each() -> Result {
    static OUTER: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("instants:outer").rate("100/hour").build().unwrap());
    static LOG: LazyLock<Throttle> = LazyLock::new(|| {
        let log = Throttle::builder("instants:inner").rate("100/hour").cost(50);
        log.strategy(SlidingLog::new()).build().unwrap()
    });
    #[throttle(OUTER)]
    #[throttle(LOG)]
    async fn handler(charge: Charge) {
        charge.settle(1).await.unwrap();
    }
    let app = Router::new().route("/", get(handler)).layer(ThrottleLayer::new([&*OUTER]));
    let app = app.layer(Traffik::builder().backend(ticking()).build().layer());
    for left in [50, 49, 48] {
        let response = send(&app, get_from("/", "10.0.0.1", &[])).await;
        let told = response.headers()["ratelimit"].to_str()?;
        assert!(told.contains(&format!("\"instants:inner\";r={left};")), "{told}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_there_is_an_answer_follows_the_rule() -> Result {
    for (rule, charged) in [(OnCancel::Refund, 0), (OnCancel::Keep, 3)] {
        let far = Throttle::builder("instants:far").rate("10/day").registry(&Registry::new());
        let far = far.backend(Far(MemoryBackend::new())).on_cancel(rule).build()?;
        for _ in 0..3 {
            let gone = tokio::time::timeout(Duration::from_millis(5), far.reserve("ann").into_future()).await;
            assert!(gone.is_err(), "the answer is under way");
        }
        tokio::time::sleep(Duration::from_millis(90)).await;
        assert_eq!(far.stat("ann").await?.ok_or("exempt")?.used, charged, "{rule:?}");
    }
    Ok(())
}
