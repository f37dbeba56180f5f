//! What helps when a backend fails: fallback, retry, circuit breaker and failover, alone and in stacks.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::time::Instant;
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{
    BreakerState, CircuitBreaker, Decision, MemoryBackend, OnError, Throttle, Traffik, hit_all, throttle,
};

use crate::support::{Result, on, statuses, still};

const DEADLINE: Duration = Duration::from_millis(100);

fn faulty() -> FaultyBackend {
    FaultyBackend::new(still())
}

fn breaker(failures: u32, clock: &ManualClock) -> CircuitBreaker {
    CircuitBreaker::builder()
        .failure_threshold(failures)
        .cool_down(Duration::from_secs(5))
        .clock(clock.clone())
        .build()
}

async fn used(throttle: &Throttle, who: &str) -> Result<u64> {
    Ok(throttle.stat(who).await?.ok_or("exempt")?.used)
}

#[tokio::test]
async fn a_fallback_decides_while_the_first_is_down() -> Result {
    let (first, second) = (faulty(), still());
    let throttle =
        on("policy:fallback", "2/min", first.clone()).on_error(OnError::fallback(second.clone())).build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    first.fail();
    for allowed in [true, true, false] {
        assert_eq!(throttle.hit("ann").await?.is_allowed(), allowed, "the second counts by itself");
    }
    first.heal();
    assert_eq!(used(&throttle, "ann").await?, 1, "the first was charged once");
    assert_eq!(second.len(), 1);
    Ok(())
}

#[tokio::test]
async fn when_nothing_helps_the_last_word_holds() -> Result {
    let (first, second, third) = (faulty(), faulty(), still());
    let throttle = on("policy:last", "9/min", first.clone()).build()?;
    first.fail();
    second.fail();
    let fallback = OnError::fallback(second.clone());
    throttle.set_on_error(fallback.clone());
    let error = throttle.hit("ann").await.expect_err("both are down");
    assert!(error.is_backend() && !error.is_configuration());
    throttle.set_on_error(fallback.clone().or(OnError::allow()));
    assert_eq!(throttle.hit("ann").await?, Decision::Exempt);
    throttle.set_on_error(fallback.or(OnError::fallback(third)));
    assert_eq!(throttle.hit("ann").await?.stat().ok_or("exempt")?.used, 1, "the next in turn");
    assert_eq!((first.calls(), second.calls()), (3, 3));
    Ok(())
}

#[tokio::test]
async fn a_reset_reaches_every_backend_that_may_have_counted() -> Result {
    let (first, second) = (faulty(), still());
    let throttle = on("policy:reset", "1/min", first.clone()).on_error(OnError::fallback(second)).build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    first.fail();
    assert!(throttle.hit("ann").await?.is_allowed());
    assert!(!throttle.hit("ann").await?.is_allowed());
    first.heal();
    throttle.reset("ann").await?;
    assert!(throttle.hit("ann").await?.is_allowed());
    first.fail();
    assert!(throttle.hit("ann").await?.is_allowed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_what_asks_for_it_is_tried_again() -> Result {
    for (policy, calls, allowed) in [
        (OnError::throttle(), 1, false),
        (OnError::retry(1), 2, false),
        (OnError::retry(2), 3, true),
        (OnError::retry(9), 3, true),
        (OnError::retry(2).or(OnError::raise()), 3, true),
    ] {
        let backend = faulty().fail_next(2);
        // Short waits, so that three of them always fit into the deadline.
        let policy = policy.backoff(Duration::from_millis(5));
        let throttle = on("policy:retry", "9/min", backend.clone()).on_error(policy.clone()).build()?;
        let hit = throttle.hit("ann").await;
        assert_eq!(hit.is_ok(), allowed, "{policy:?}");
        assert_eq!(backend.calls(), calls, "{policy:?}");
        if allowed {
            assert_eq!(hit?.stat().ok_or("exempt")?.used, 1);
        }
    }
    // A breaker that opens ends it.
    let backend = faulty();
    backend.fail();
    let policy = OnError::retry(9).backoff(Duration::ZERO).breaker(breaker(3, &ManualClock::new()));
    let throttle = on("policy:opens", "9/min", backend.clone()).on_error(policy).build()?;
    assert!(throttle.hit("ann").await.is_err());
    assert_eq!(backend.calls(), 3);
    // A refund made twice would let a client exceed the limit.
    let backend = faulty().fail_next(1);
    let throttle = on("policy:refund", "9/min", backend.clone()).on_error(OnError::retry(5)).build()?;
    assert!(throttle.refund("ann", 1).await.is_err());
    assert_eq!(backend.calls(), 1);
    Ok(())
}

/// Only the first backend is tried again.
#[tokio::test(start_paused = true)]
async fn a_fallback_is_asked_once() -> Result {
    let (first, second) = (faulty(), faulty());
    first.fail();
    second.fail();
    let policy = OnError::retry(2).backoff(Duration::from_millis(5)).or(OnError::fallback(second.clone()));
    let throttle = on("policy:once", "9/min", first.clone()).on_error(policy).build()?;
    assert!(throttle.hit("ann").await.is_err());
    assert_eq!((first.calls(), second.calls()), (3, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn all_tries_together_stay_within_the_deadline() -> Result {
    let backend = faulty();
    backend.fail();
    let policy = OnError::retry(1_000_000).backoff(Duration::from_millis(2));
    let throttle = on("policy:bounded", "9/min", backend.clone()).on_error(policy).build()?;
    for _ in 0..50 {
        let start = Instant::now();
        assert!(throttle.hit("ann").await.is_err());
        assert!(start.elapsed() <= DEADLINE, "{:?}", start.elapsed());
    }
    assert!(backend.calls() > 100, "it did try: {}", backend.calls());

    // The last try has only what the others have left.
    let slow = faulty().delay(Duration::from_millis(60));
    slow.fail();
    let policy = OnError::retry(9).backoff(Duration::from_millis(1));
    let throttle = on("policy:second", "9/min", slow.clone()).on_error(policy).build()?;
    let start = Instant::now();
    assert!(throttle.hit("ann").await.expect_err("too late").is_timeout());
    assert_eq!((start.elapsed(), slow.calls()), (DEADLINE, 2));
    // A call that has used up all of the time is not repeated.
    let slow = faulty().delay(Duration::from_millis(200));
    let throttle = on("policy:slow", "9/min", slow.clone()).on_error(OnError::retry(9)).build()?;
    let start = Instant::now();
    assert!(throttle.hit("ann").await.expect_err("too late").is_timeout());
    assert_eq!((start.elapsed(), slow.calls()), (DEADLINE, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_costs_no_timeout() -> Result {
    let clock = ManualClock::new();
    let slow = faulty().delay(Duration::from_secs(1));
    let breaker = breaker(3, &clock);
    let policy = OnError::throttle().breaker(breaker.clone());
    let throttle = on("policy:open", "9/min", slow.clone()).on_error(policy).build()?;
    for _ in 0..3 {
        let start = Instant::now();
        assert!(throttle.hit("ann").await.expect_err("too late").is_timeout());
        assert_eq!(start.elapsed(), DEADLINE);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    for _ in 0..1000 {
        let start = Instant::now();
        let error = throttle.hit("ann").await.expect_err("the breaker is open");
        assert!(error.is_backend() && error.is_breaker_open() && !error.is_timeout(), "{error}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    assert_eq!(slow.calls(), 3);

    clock.advance(Duration::from_secs(5));
    assert!(throttle.hit("ann").await.expect_err("the probe").is_timeout());
    assert!(!throttle.hit("ann").await.expect_err("open again").is_timeout());
    assert_eq!(slow.calls(), 4);

    slow.heal();
    clock.advance(Duration::from_secs(5));
    assert!(throttle.hit("ann").await?.is_allowed());
    assert_eq!(breaker.state(), BreakerState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failover_leaves_the_first_alone_and_comes_back() -> Result {
    let (clock, slow, second) = (ManualClock::new(), faulty().delay(Duration::from_secs(1)), still());
    let policy = OnError::failover(second).breaker(breaker(2, &clock));
    let throttle = on("policy:failover", "9/min", slow.clone()).on_error(policy).build()?;
    for (hit, waits) in [(1, DEADLINE), (2, DEADLINE), (3, Duration::ZERO), (4, Duration::ZERO)] {
        let start = Instant::now();
        assert_eq!(throttle.hit("ann").await?.stat().ok_or("exempt")?.used, hit);
        assert_eq!(start.elapsed(), waits, "hit {hit}");
    }
    slow.heal();
    assert_eq!(throttle.hit("ann").await?.stat().ok_or("exempt")?.used, 5, "the cool-down is not over");
    clock.advance(Duration::from_secs(5));
    assert_eq!(throttle.hit("ann").await?.stat().ok_or("exempt")?.used, 1, "the first counts again");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_probe_among_many_requests() -> Result {
    let (clock, slow) = (ManualClock::new(), faulty().delay(Duration::from_millis(50)));
    let breaker = breaker(1, &clock);
    let policy = OnError::allow().breaker(breaker.clone());
    let throttle = on("policy:probe", "900/min", slow.clone()).on_error(policy).build()?;
    slow.fail();
    assert_eq!(throttle.hit("ann").await?, Decision::Exempt);
    clock.advance(Duration::from_secs(5));
    let before = slow.calls();
    let tasks: Vec<_> = (0..50_u64)
        .map(|client| {
            let throttle = throttle.clone();
            tokio::spawn(async move { throttle.hit(client).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await?);
    }
    assert_eq!(slow.calls() - before, 1);

    // A probe whose client goes away leaves the breaker ready for the next one.
    clock.advance(Duration::from_secs(5));
    let gone = tokio::time::timeout(Duration::from_millis(10), throttle.hit("ann").into_future()).await;
    assert!(gone.is_err());
    slow.heal();
    assert!(throttle.hit("ann").await?.stat().is_some(), "counted, and not waved through");
    assert_eq!(breaker.state(), BreakerState::Closed);
    Ok(())
}

#[tokio::test]
async fn a_stack_stays_all_or_nothing_on_its_fallback() -> Result {
    let (first, second) = (faulty(), still());
    let policy = OnError::fallback(second);
    let wide = on("stack:wide", "9/min", first.clone()).on_error(policy.clone()).build()?;
    let narrow = on("stack:narrow", "1/min", first.clone()).on_error(policy).build()?;
    first.fail();
    assert!(hit_all([&wide, &narrow], "ann").await?.is_allowed());
    assert_eq!(first.calls(), 1, "one call for both");
    for _ in 0..5 {
        let decision = hit_all([&wide, &narrow], "ann").await?;
        assert_eq!(decision.throttled().ok_or("let through")?.uid(), "stack:narrow");
    }
    assert_eq!(used(&wide, "ann").await?, 1, "the refused were charged nowhere");
    Ok(())
}

#[tokio::test]
async fn each_of_a_stack_goes_its_own_way() -> Result {
    let (first, healthy, second) = (faulty(), still(), still());
    // In source order: one with a fallback, one on a healthy store, one that fails open.
    let a = on("ways:a", "5/min", first.clone()).on_error(OnError::fallback(second)).build()?;
    let b = on("ways:b", "2/min", healthy).build()?;
    let c = on("ways:c", "1/min", first.clone()).on_error(OnError::allow()).build()?;
    first.fail();
    for allowed in [true, true, false] {
        assert_eq!(hit_all([&a, &b, &c], "ann").await?.is_allowed(), allowed);
    }
    assert_eq!(used(&a, "ann").await?, 2, "given back when `b` refused");
    c.set_on_error(OnError::throttle());
    assert!(hit_all([&a, &b, &c], "bob").await.is_err());
    for throttle in [&a, &b] {
        assert_eq!(used(throttle, "bob").await?, 0, "nothing stays charged");
    }
    first.heal();
    assert!(hit_all([&a, &b, &c], "bob").await?.is_allowed());
    Ok(())
}

/// Of hits that fail together, the first in source order decides, wherever they come from.
#[tokio::test]
async fn a_hit_on_its_fallback_keeps_its_place() -> Result {
    let (first, second) = (faulty(), faulty());
    first.fail();
    second.fail();
    let policy = OnError::fallback(second.clone()).or(OnError::raise());
    let a = on("place:a", "9/min", first).on_error(policy).build()?;
    let b = on("place:b", "9/min", second).build()?;
    for (stack, expected) in [([&a, &b], 500), ([&b, &a], 503)] {
        let error = hit_all(stack, "ann").await.unwrap_err();
        assert_eq!(error.into_response().status(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_stack_is_tried_again_only_if_all_of_it_asks() -> Result {
    let backend = faulty().fail_next(1);
    let twice = on("again:twice", "9/min", backend.clone()).on_error(OnError::retry(2)).build()?;
    let never = on("again:never", "9/min", backend.clone()).build()?;
    let once = on("again:once", "9/min", backend.clone()).on_error(OnError::retry(1)).build()?;
    assert!(hit_all([&twice, &never], "ann").await.is_err());
    assert_eq!(backend.calls(), 1);
    let backend = backend.fail_next(1);
    assert!(hit_all([&twice, &once], "ann").await?.is_allowed());
    assert_eq!(backend.calls(), 3);
    Ok(())
}

#[tokio::test]
async fn throttles_may_share_a_breaker_or_bring_their_own() -> Result {
    let (clock, first) = (ManualClock::new(), faulty());
    let (shared, own) = (breaker(2, &clock), breaker(1, &clock));
    let policy = OnError::throttle().breaker(shared.clone());
    let a = on("share:a", "9/min", first.clone()).on_error(policy.clone()).build()?;
    let b = on("share:b", "9/min", first.clone()).on_error(policy).build()?;
    let c = on("share:c", "9/min", first.clone()).on_error(OnError::allow().breaker(own.clone())).build()?;
    first.fail();
    assert!(hit_all([&a, &b, &c], "ann").await.is_err());
    assert_eq!(shared.state(), BreakerState::Closed, "one call, one failure");
    assert_eq!(own.state(), BreakerState::Open);
    assert!(hit_all([&a, &b, &c], "ann").await.is_err());
    assert_eq!((shared.state(), first.calls()), (BreakerState::Open, 2));
    assert!(a.hit("ann").await.is_err());
    assert_eq!(c.hit("ann").await?, Decision::Exempt);
    assert_eq!(first.calls(), 2);
    Ok(())
}

/// A policy for all throttles, with one breaker, is no reason to avoid a store that cannot fail.
#[tokio::test]
async fn a_breaker_that_opens_for_one_backend_shuts_off_no_memory() -> Result {
    let (clock, down, spare) = (ManualClock::new(), faulty(), faulty());
    let shared = breaker(1, &clock);
    let policy = OnError::fallback(spare.clone()).breaker(shared.clone());
    down.fail();
    let remote = on("memory:remote", "9/min", down).on_error(policy.clone()).build()?;
    assert!(remote.hit("ann").await?.is_allowed());
    assert_eq!((shared.state(), spare.calls()), (BreakerState::Open, 1));
    for near in [on("memory:near", "1/min", still()), on("memory:slow", "1/min", still()).shadow()] {
        let near = near.on_error(policy.clone()).build()?;
        for _ in 0..2 {
            let _ = near.hit("ann").await?;
            let _ = near.hit("ann").now()?;
        }
        assert_eq!(used(&near, "ann").await?, 1, "{}", near.uid());
    }
    assert_eq!(spare.calls(), 1);
    // Nor does what it answers tell anything about the backend that is down.
    clock.advance(Duration::from_secs(5));
    let near = on("memory:probe", "1/min", still()).on_error(policy).shadow().build()?;
    let _ = near.hit("ann").await?;
    assert_ne!(shared.state(), BreakerState::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn shadows_have_policies_too() -> Result {
    let (clock, slow, second) = (ManualClock::new(), faulty().delay(Duration::from_secs(1)), still());
    let policy = OnError::failover(second.clone()).breaker(breaker(1, &clock));
    let shadow = on("shadow:policy", "1/min", slow.clone()).on_error(policy).shadow().build()?;
    for _ in 0..5 {
        let _ = shadow.hit("ann").await?;
    }
    assert_eq!(slow.calls(), 1);
    assert_eq!(second.len(), 1);
    Ok(())
}

static DOWN: LazyLock<FaultyBackend> = LazyLock::new(|| {
    let backend = faulty();
    backend.fail();
    backend
});
static SPARE: LazyLock<MemoryBackend> = LazyLock::new(still);

#[throttle(
    "policy:attribute",
    rate = "1/min",
    backend = DOWN.clone(),
    on_error = OnError::failover(SPARE.clone()).or(OnError::allow())
)]
async fn own_policy() {}
#[throttle("policy:app", rate = "1/min")]
async fn app_policy() {}

#[tokio::test]
async fn by_attribute_and_by_app() {
    let spare = still();
    let traffik = Traffik::builder().backend(DOWN.clone()).on_error(OnError::failover(spare.clone())).build();
    let app =
        Router::new().route("/own", get(own_policy)).route("/app", get(app_policy)).layer(traffik.layer());
    for path in ["/own", "/app"] {
        assert_eq!(statuses(&app, path, "10.0.0.1", 2).await, [200, 429], "{path}");
    }
    assert_eq!((SPARE.len(), spare.len()), (1, 1));
}
