//! A failing backend never means a refusal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{
    Backend, BackendError, BoxFuture, BreakerState, CircuitBreaker, Decision, Hit, MemoryBackend, OnError,
    Op, Parts, QuotaContext, Registry, Throttle, ThrottleLayer, Traffik, Verdict, Verdicts, throttle,
};

use crate::support::{Far, Result, body, get_from, send, still};

#[throttle("fail:closed", rate = "9/min")]
async fn closed() {}
#[throttle("fail:open", rate = "9/min", on_error = "allow")]
async fn open() {}
#[throttle("fail:raise", rate = "9/min", on_error = "raise")]
async fn raise() {}

#[tokio::test]
async fn an_outage_is_answered_as_told_and_never_429() {
    let faulty = FaultyBackend::new(still());
    let app = Router::new()
        .route("/closed", get(closed))
        .route("/open", get(open))
        .route("/raise", get(raise))
        .layer(Traffik::builder().backend(faulty.clone()).build().layer());
    faulty.fail();
    for (path, expected) in [("/closed", 503), ("/open", 200), ("/raise", 500)] {
        let response = send(&app, get_from(path, "10.0.0.1", &[])).await;
        assert_eq!(response.status(), expected, "{path}");
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
        assert!(!body(response).await.contains("failed as told"), "the cause stays inside");
    }
    faulty.heal();
    for path in ["/closed", "/open", "/raise"] {
        assert_eq!(send(&app, get_from(path, "10.0.0.1", &[])).await.status(), 200);
    }
}

/// In a handler that calls the throttle directly, `?` answers like the gate.
#[tokio::test]
async fn what_a_handler_asks_itself_is_answered_as_told() -> Result {
    let faulty = FaultyBackend::new(still());
    faulty.fail();
    for (on_error, expected) in [
        (OnError::throttle(), 503),
        (OnError::raise(), 500),
        (OnError::retry(1).or(OnError::raise()), 500),
        (OnError::fallback(faulty.clone()).or(OnError::raise()), 500),
    ] {
        let throttle = Throttle::builder("fail:asked").rate("9/min").backend(faulty.clone());
        let throttle = throttle.on_error(on_error).registry(&Registry::new()).build()?;
        faulty.heal();
        let reservation = throttle.reserve("u").await?;
        faulty.fail();
        let settled = reservation.settle(0).await.unwrap_err().into_response();
        let hit = throttle.hit("u").await.unwrap_err().into_response();
        let reserved = throttle.reserve("u").await.unwrap_err().into_response();
        let queued = throttle.quota("u").run(async |quota| {
            quota.add(1);
            Ok(())
        });
        let quota = queued.await.unwrap_err().into_response();
        let reset = throttle.reset("u").await.unwrap_err().into_response();
        for answer in [hit, reserved, settled, quota, reset] {
            assert_eq!(answer.status(), expected);
            assert_eq!(answer.headers().contains_key("retry-after"), expected == 503);
        }
    }
    Ok(())
}

/// As with several hits, the first policy that does not let an outage pass decides.
#[tokio::test]
async fn of_corrections_that_fail_together_the_first_is_answered_as_told() -> Result {
    for (words, expected) in [
        ([OnError::raise(), OnError::throttle()], 500),
        ([OnError::throttle(), OnError::raise()], 503),
        ([OnError::allow(), OnError::raise()], 500),
    ] {
        let quota = QuotaContext::new("u");
        let both = [still(), still()].map(FaultyBackend::new);
        for ((uid, faulty), on_error) in ["fail:one", "fail:other"].into_iter().zip(&both).zip(words) {
            let throttle = Throttle::builder(uid).rate("9/min").backend(faulty.clone()).on_error(on_error);
            quota.add(&throttle.registry(&Registry::new()).build()?, 1);
        }
        assert!(quota.reserve().await?.is_allowed());
        both.iter().for_each(|faulty| faulty.fail());
        assert_eq!(quota.cancel().await.unwrap_err().into_response().status(), expected);
    }
    Ok(())
}

/// A correction that was not made is never reported as made, whatever the policy does for hits.
#[tokio::test]
async fn corrections_are_made_or_are_errors() -> Result {
    let (faulty, second) = (FaultyBackend::new(still()), still());
    let on = |on_error| {
        let throttle = Throttle::builder("fail:corrections").rate("9/min").backend(faulty.clone());
        throttle.on_error(on_error).registry(&Registry::new()).build()
    };
    let used =
        async |throttle: &Throttle| -> Result<u64> { Ok(throttle.stat("u").await?.ok_or("exempt")?.used) };
    let (open, backed) = (on(OnError::allow())?, on(OnError::fallback(second.clone()))?);
    for throttle in [&open, &backed] {
        faulty.heal();
        assert!(throttle.hit("u").cost(2).await?.is_allowed());
        faulty.fail();
        assert!(throttle.hit("u").cost(5).await?.is_allowed(), "a hit goes where its policy says");
        let error = throttle.refund("u", 3).await.unwrap_err();
        assert!(error.is_backend(), "{error}");
    }
    assert_eq!(used(&backed).await?, 5, "the fallback was not paid the 3 units");
    for throttle in [&open, &backed] {
        let error = throttle.reset("u").await.unwrap_err();
        assert!(error.is_backend(), "{error}");
    }
    assert_eq!(used(&backed).await?, 0, "but is reset");
    faulty.heal();
    assert_eq!(used(&backed).await?, 4, "of the first nothing has been given back");
    backed.refund("u", 3).await?;
    assert_eq!(used(&backed).await?, 1);
    backed.reset("u").await?;
    assert_eq!(used(&backed).await?, 0);
    Ok(())
}

/// Shadow mode is about whom a throttle refuses. Queries and corrections of its accounts report the truth.
#[tokio::test]
async fn the_account_of_a_shadow_is_one_like_any_other() -> Result {
    let faulty = FaultyBackend::new(still());
    let shadow = Throttle::builder("fail:shadow").rate("2/min").shadow().backend(faulty.clone());
    let shadow = shadow.registry(&Registry::new()).build()?;
    for _ in 0..3 {
        assert!(shadow.hit("u").await?.is_allowed());
    }
    let stat = shadow.stat("u").await?.ok_or("exempt")?;
    assert_eq!((stat.used, stat.remaining, stat.retry_after.is_some()), (2, 0, true));
    faulty.fail();
    assert!(shadow.hit("u").await?.is_allowed(), "an outage turns nobody away");
    assert!(shadow.stat("u").await.is_err_and(|error| error.is_backend()));
    assert!(shadow.refund("u", 1).await.is_err_and(|error| error.is_backend()));
    assert!(shadow.reset("u").await.is_err_and(|error| error.is_backend()));
    faulty.heal();
    assert_eq!(shadow.stat("u").await?.ok_or("exempt")?.used, 2);
    shadow.refund("u", 1).await?;
    assert_eq!(shadow.stat("u").await?.ok_or("exempt")?.used, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn no_call_outlives_its_deadline() -> Result {
    let slow = FaultyBackend::new(still()).delay(Duration::from_millis(200));
    let throttle = Throttle::builder("fail:slow")
        .rate("9/min")
        .backend(slow.clone())
        .registry(&Registry::new())
        .build()?;
    let start = tokio::time::Instant::now();
    let error = throttle.hit("u").await.expect_err("too late");
    assert!(error.is_timeout() && error.is_backend(), "{error}");
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    assert_eq!(throttle.on_error(), None);
    throttle.set_on_error(OnError::allow());
    assert_eq!(throttle.on_error(), Some(OnError::allow()));
    assert_eq!(throttle.hit("u").await?, Decision::Exempt);
    Ok(())
}

static FRAGILE: LazyLock<Throttle> = LazyLock::new(|| {
    let throttle = Throttle::builder("fail:fragile").rate("9/min").registry(&Registry::new());
    throttle.identifier(|_: &Parts| "ann").build().unwrap()
});

#[throttle(FRAGILE, refund_on = "5xx")]
async fn fragile() -> StatusCode {
    StatusCode::BAD_GATEWAY
}

#[throttle("fail:narrow", rate = "1/hour", cost = 1, headers = "never")]
async fn narrow() {}

/// A client may hang up while its charge is being refunded.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_given_back_to_the_end() -> Result {
    let slow = FaultyBackend::new(still()).delay(Duration::from_millis(50));
    FRAGILE.set_backend(slow)?;
    let own = Traffik::builder().backend(still()).build();
    let app = Router::new()
        .route("/fragile", get(fragile))
        // The layer's charge is refunded here, because the handler's throttle refuses.
        .route("/narrow", get(narrow).layer(ThrottleLayer::new([&*FRAGILE])))
        .layer(own.layer());
    assert_eq!(send(&app, get_from("/narrow", "10.0.0.1", &[])).await.status(), 200);
    assert_eq!(FRAGILE.stat("ann").await?.ok_or("exempt")?.used, 1);
    for path in ["/fragile", "/narrow"] {
        let request = send(&app, get_from(path, "10.0.0.1", &[]));
        tokio::time::timeout(Duration::from_millis(75), request)
            .await
            .expect_err("it is still being given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(FRAGILE.stat("ann").await?.ok_or("exempt")?.used, 1, "{path}");
    }
    Ok(())
}

type Answer = std::result::Result<Verdicts, BackendError>;

/// Gives the same answer to everything, immediately or not, and counts the calls.
#[derive(Debug, Clone)]
struct Answering {
    answer: fn(usize) -> Answer,
    with: usize,
    immediate: bool,
    calls: Arc<AtomicU64>,
}

impl Answering {
    fn new(answer: fn(usize) -> Answer, with: usize, immediate: bool) -> Self {
        Self { answer, with, immediate, calls: Arc::default() }
    }

    fn answer(&self) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.answer)(self.with)
    }
}

impl Backend for Answering {
    fn name(&self) -> &'static str {
        "answering"
    }

    fn decide<'a>(&'a self, _: Op, _: &'a [Hit<'a>]) -> BoxFuture<'a, Answer> {
        Box::pin(async { self.answer() })
    }

    fn decide_now(&self, _: Op, _: &[Hit<'_>]) -> Option<Answer> {
        self.immediate.then(|| self.answer())
    }

    fn is_immediate(&self) -> bool {
        self.immediate
    }
}

/// Returns this many verdicts, all of which allow.
fn verdicts(number: usize) -> Answer {
    let passes = Verdict { admitted: true, limit: 9, remaining: 9, ..Verdict::default() };
    Ok(Verdicts::new(0, vec![passes; number]))
}

/// The store is healthy, but others keep changing the key.
fn contended(_: usize) -> Answer {
    Err(BackendError::contention("others kept changing the key"))
}

/// A hit without a verdict does not pass.
#[tokio::test]
async fn a_verdict_too_few_or_too_many_is_an_outage() -> Result {
    for (number, immediate) in [(0, true), (1, true), (3, true), (0, false), (1, false), (3, false)] {
        let backend = traffik::SharedBackend::from(Answering::new(verdicts, number, immediate));
        for on_error in [OnError::throttle(), OnError::retry(1), OnError::fallback(backend.clone())] {
            let on = |uid: &str| {
                let throttle = Throttle::builder(uid).rate("9/min").backend(backend.clone());
                throttle.on_error(on_error.clone()).registry(&Registry::new()).build()
            };
            let (one, other) = (on("fail:miscounting:one")?, on("fail:miscounting:other")?);
            let expected = |hits| format!("the answering backend returned {number} verdicts for {hits} hits");
            let alone = one.hit("ann").await;
            match number {
                1 => assert!(alone?.is_allowed()),
                _ => assert!(alone.unwrap_err().to_string().contains(&expected(1))),
            }
            let error = traffik::hit_all([&one, &other], "ann").await.unwrap_err();
            assert!(error.is_backend() && error.to_string().contains(&expected(2)), "{error}");
            let app = Router::new().route("/", get(async || {}).layer(ThrottleLayer::new([&one, &other])));
            assert_eq!(send(&app, get_from("/", "10.0.0.1", &[])).await.status(), 503);
        }
    }
    Ok(())
}

/// The account is no longer what it was when it was charged: only what has not drained meanwhile goes back.
#[tokio::test(start_paused = true)]
async fn what_has_drained_before_another_backend_refuses_is_not_refunded() -> Result {
    // Everyone waits for the refusal, or goes away while either backend is being asked.
    for (is_far, patience, at) in [(false, 100, 40), (true, 70, 40), (true, 20, 10)] {
        let clock = ManualClock::new();
        let memory = || MemoryBackend::builder().clock(clock.clone()).build();
        let on = |uid: &str, backend: traffik::SharedBackend| {
            Throttle::builder(uid).rate("5/min").backend(backend).registry(&Registry::new())
        };
        let leaks = on("fail:leaks", if is_far { Far(memory()).into() } else { memory().into() });
        let leaks = leaks.strategy(traffik::strategy::TokenBucket::new()).build()?;
        let slow = FaultyBackend::new(still()).delay(Duration::from_millis(50));
        let full = on("fail:full", slow.into()).build()?;
        assert!(full.hit("ann").cost(5).await?.is_allowed());
        let both = [&leaks, &full];
        let hit = tokio::time::timeout(Duration::from_millis(patience), traffik::hit_all(both, "ann"));
        let (refused, ()) = tokio::join!(hit, async {
            tokio::time::sleep(Duration::from_millis(at)).await;
            clock.advance(Duration::from_secs(60));
            assert!(leaks.hit("ann").cost(5).await.is_ok_and(|decision| decision.is_allowed()));
        });
        assert_eq!(refused.is_err(), is_far);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(leaks.stat("ann").await?.ok_or("counted")?.used, 5);
    }
    Ok(())
}

/// A backend that answers at once is left for a fallback like any other.
#[tokio::test]
async fn an_immediate_backend_has_a_fallback_too() -> Result {
    let failing = Answering::new(|_| Err(BackendError::new("no disk")), 0, true);
    let throttle = Throttle::builder("fail:immediate").rate("1/min").backend(failing);
    let throttle = throttle.on_error(OnError::fallback(still())).registry(&Registry::new()).build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    assert!(!throttle.hit("ann").await?.is_allowed());
    Ok(())
}

/// Hammering a key does not let anyone pass uncounted, nor does it disable anything for others.
#[tokio::test]
async fn contention_is_no_outage() -> Result {
    for immediate in [true, false] {
        let contended = Answering::new(contended, 0, immediate);
        let breaker = CircuitBreaker::builder().failure_threshold(1).build();
        let more = OnError::retry(3).backoff(Duration::ZERO).or(OnError::fallback(still()));
        for on_error in [
            OnError::allow(),
            OnError::throttle(),
            OnError::raise(),
            more.breaker(breaker.clone()).or(OnError::allow()),
        ] {
            let throttle = Throttle::builder("fail:contended").rate("9/min").backend(contended.clone());
            let throttle = throttle.on_error(on_error).registry(&Registry::new()).build()?;
            let before = contended.calls.load(Ordering::SeqCst);
            let error = throttle.hit("ann").await.unwrap_err();
            assert!(error.is_contention() && error.is_backend() && !error.is_timeout(), "{error}");
            let app = Router::new().route("/", get(async || {}).layer(ThrottleLayer::new([&throttle])));
            let response = send(&app, get_from("/", "10.0.0.1", &[])).await;
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key("retry-after"));
            let calls = contended.calls.load(Ordering::SeqCst) - before;
            assert_eq!(calls, 2, "nothing is repeated, and no breaker keeps the second from being asked");
            assert_eq!(breaker.state(), BreakerState::Closed);
        }
        // Shadow mode refuses nobody, not even for lack of a decision.
        let shadow = Throttle::builder("fail:shadow").rate("9/min").shadow().backend(contended);
        let shadow = shadow.registry(&Registry::new()).build()?;
        assert!(shadow.hit("ann").await?.is_allowed());
    }
    Ok(())
}

/// A correction is answered like a hit.
#[tokio::test]
async fn contention_is_no_outage_for_a_correction_either() -> Result {
    for on_error in [OnError::throttle(), OnError::raise()] {
        let throttle = Throttle::builder("fail:contended:refund").rate("9/min").on_error(on_error);
        let contended = Answering::new(contended, 0, false);
        let throttle = throttle.backend(contended).registry(&Registry::new()).build()?;
        let [refund, reset] = [throttle.refund("ann", 1).await, throttle.reset("ann").await];
        for error in [refund.unwrap_err(), reset.unwrap_err()] {
            assert!(error.is_contention());
            assert_eq!(error.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    Ok(())
}

/// An undecided request leaves no charge behind, even if only throttles in shadow mode remain to be asked.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_while_a_shadow_is_asked_is_charged_nothing() -> Result {
    let slow = || FaultyBackend::new(still()).delay(Duration::from_millis(50));
    let on = |uid: &str, backend: traffik::SharedBackend| {
        Throttle::builder(uid).rate("9/hour").backend(backend).registry(&Registry::new())
    };
    let [here, far] = [on("fail:gone:here", still().into()), on("fail:gone:far", slow().into())];
    let [here, far] = [here.build()?, far.build()?];
    let [one, two] = ["fail:gone:one", "fail:gone:two"].map(|uid| on(uid, slow().into()).shadow().build());
    let (one, two) = (one?, two?);
    let used = async || -> Result<Vec<u64>> {
        let mut used = Vec::new();
        for throttle in [&here, &far, &one, &two] {
            used.push(throttle.stat("ann").await?.ok_or("counted")?.used);
        }
        Ok(used)
    };
    for patience in [20, 70, 120, 170] {
        let hit = traffik::hit_all([&one, &here, &far, &two], "ann");
        let waited = tokio::time::timeout(Duration::from_millis(patience), hit).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        match waited {
            Ok(decision) => {
                assert!(decision?.is_allowed());
                assert_eq!(used().await?, [1; 4], "after {patience} ms");
            }
            Err(_) => assert_eq!(used().await?, [0; 4], "after {patience} ms"),
        }
    }
    Ok(())
}

/// Nor does it if the pending call has already charged.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_while_a_shadow_answers_is_charged_nothing() -> Result {
    let on =
        |uid: &str| Throttle::builder(uid).rate("9/hour").registry(&Registry::new()).backend(Far(still()));
    let all =
        [on("fail:answers").build()?, on("fail:one").shadow().build()?, on("fail:two").shadow().build()?];
    for (patience, expected) in [(20, 0), (50, 0), (80, 0), (110, 1)] {
        let hit = traffik::hit_all(&all, "ann");
        let waited = tokio::time::timeout(Duration::from_millis(patience), hit).await;
        assert_eq!(waited.is_ok(), expected == 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        for throttle in &all {
            let used = throttle.stat("ann").await?.ok_or("counted")?.used;
            assert_eq!(used, expected, "{} after {patience} ms", throttle.uid());
        }
    }
    Ok(())
}
