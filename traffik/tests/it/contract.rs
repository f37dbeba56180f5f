//! The samples in the documentation of the public interface, exactly as written there.

use std::sync::LazyLock;

use traffik::strategy::{FixedWindow, Gcra, TokenBucket};
use traffik::{EXEMPTED, Identity, MemoryBackend, OnError, Parts, Rate, SharedBackend, Throttle, Traffik};

use crate::support::get_from;

fn tiered(req: &Parts) -> Identity {
    if req.headers.get("x-admin-token").is_some_and(|t| t == "s3cret") {
        return EXEMPTED;
    }
    match req.headers.get("x-api-key").and_then(|k| k.to_str().ok()) {
        Some(key) => Identity::key(format!("key:{key}")),
        None => traffik::client_ip(req),
    }
}

static EXPORT: LazyLock<Throttle> = LazyLock::new(|| {
    Throttle::builder("export").rate("100/min").cost(10).identifier(tiered).build().unwrap()
});

async fn run(parts: &Parts) -> Result<(), Box<dyn std::error::Error>> {
    let decision = EXPORT.hit(parts).await?;
    assert!(decision.is_allowed());
    let decision = EXPORT.hit("user:42").cost(3).await?;
    if let Some(refused) = decision.throttled() {
        let _: Option<std::time::Duration> = refused.retry_after();
    }
    decision.into_result()?;
    let _ = EXPORT.check("user:42").cost(10).await?;
    let _: Option<traffik::Stat> = EXPORT.stat("user:42").await?;
    EXPORT.refund("user:42", 3).await?;
    EXPORT.reset("user:42").await?;
    Ok(())
}

#[tokio::test]
async fn the_throttle_as_a_value() {
    let (parts, _) = get_from("/", "10.0.0.1", &[("x-api-key", "ann")]).into_parts();
    run(&parts).await.unwrap();
}

static BURST: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("c:burst").rate("20/min").build().unwrap());
static HOURLY: LazyLock<Throttle> = LazyLock::new(|| {
    Throttle::builder(String::from("c:hourly"))
        .rate(Rate::per_hour(500))
        .strategy(TokenBucket::new().burst(50))
        .build()
        .unwrap()
});

#[tokio::test]
async fn several_as_one() {
    let (parts, _) = get_from("/", "10.0.0.1", &[]).into_parts();
    assert!(traffik::hit_all([&*BURST, &*HOURLY], &parts).await.unwrap().is_allowed());
    assert!(traffik::hit_all([&*BURST, &*HOURLY], "somebody").await.unwrap().is_allowed());
}

#[test]
fn rates_identities_and_errors() {
    assert_eq!(Rate::parse("10/30 seconds").unwrap(), "10/30s".parse().unwrap());
    assert_eq!(Rate::new(5, std::time::Duration::from_secs(60)).unwrap(), Rate::per_minute(5));
    assert!(Rate::UNLIMITED.is_unlimited());
    let _ = Identity::key("a").tier("premium").priority(traffik::Priority::High);
    let error = Rate::parse("5/mins").unwrap_err();
    assert!(error.is_configuration() && !error.is_backend() && !error.is_timeout());
    assert!(error.to_string().contains("unknown time unit \"mins\"; did you mean \"min\"?"), "{error}");
    let _ = (FixedWindow::new().staggered(), Gcra::new().burst(3), TokenBucket::new().burst(5).debt(2));
    let _ = (OnError::allow(), OnError::throttle(), OnError::raise());
}

/// Debug output ends up in logs.
#[tokio::test]
async fn debug_output_names_no_client_and_no_password() {
    let memory = MemoryBackend::new();
    let throttle = Throttle::builder("contract:shown").rate("5/min").backend(memory.clone());
    let throttle = throttle.registry(&traffik::Registry::new()).build().unwrap();
    let decision = throttle.hit("s3cret").await.unwrap();
    let mut shown = vec![
        format!("{throttle:?} {decision:?} {memory:?} {:?}", SharedBackend::from(memory.clone())),
        format!("{:?} {:?}", throttle.hit("s3cret"), throttle.check("s3cret")),
        format!("{:?} {:?}", throttle.reserve("s3cret"), throttle.reserve("s3cret").await.unwrap()),
        format!("{:?} {:?}", throttle.quota("s3cret"), Identity::key("s3cret").tier("premium")),
        format!("{:?}", traffik::DenialCache::new(memory.clone(), 10)),
    ];
    #[cfg(feature = "redis")]
    {
        let builder = traffik::RedisBackend::builder("redis://ann:s3cret@127.0.0.1:6379/0");
        shown.push(format!("{builder:?} {:?}", builder.clone().connect_lazy().unwrap()));
    }
    for text in shown {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

// Nothing is called: compiling is the test.
const _: fn(&'static Throttle) = what_is_held_can_be_sent_and_shared;

fn what_is_held_can_be_sent_and_shared(throttle: &'static Throttle) {
    fn both<T: Send + Sync>() {}
    fn sent<T: Send>(_: T) {}
    fn small<T: Copy + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync>() {}
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    both::<(Throttle, traffik::ThrottleBuilder, traffik::Registry, Traffik, traffik::TraffikBuilder)>();
    both::<(MemoryBackend, SharedBackend, traffik::DenialCache, OnError, traffik::CircuitBreaker)>();
    both::<(traffik::Headers, traffik::ClientIp, traffik::Rule, Identity, Rate)>();
    both::<(traffik::Decision, traffik::Outcome, traffik::Charge, traffik::Reservation)>();
    both::<(traffik::Quota<'_>, traffik::QuotaContext<'_>)>();
    both::<(traffik::ThrottleLayer, traffik::BackendLayer)>();
    #[cfg(feature = "redis")]
    both::<(traffik::RedisBackend, traffik::RedisBackendBuilder)>();
    #[cfg(feature = "ws")]
    sent::<Option<traffik::GuardedSocket>>(None);
    small::<(traffik::OnCancel, traffik::Settled, traffik::BreakerState, traffik::Priority, traffik::Op)>();
    small::<(Rate, traffik::Peer, traffik::ForwardedHeader)>();
    #[cfg(feature = "ws")]
    small::<traffik::SocketAction>();
    error::<traffik::Error>();
    error::<traffik::Throttled>();
    error::<traffik::BackendError>();
    error::<traffik::ReserveError>();
    error::<traffik::QuotaError>();
    error::<traffik::axum::ChargeRejection>();
    error::<traffik::axum::OutcomeRejection>();
    sent(throttle.hit("ann").into_future());
    sent(throttle.check("ann").into_future());
    sent(throttle.stat("ann").into_future());
    sent(throttle.reserve("ann").into_future());
    sent(throttle.hit("ann").wait_up_to(std::time::Duration::ZERO));
    sent(throttle.refund("ann", 1));
    sent(throttle.reset("ann"));
    sent(throttle.quota("ann").run(async |quota| {
        quota.add(1);
        Ok(())
    }));
    sent(traffik::hit_all([throttle], "ann"));
}
